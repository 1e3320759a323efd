//! What git still has of earlier versions: every file and every message that a branch or a tag reaches. A secret that was
//! removed later is public all the same.
//!
//! Must not: look at what is unreachable. It is not pushed, and git drops it by itself.

use std::collections::{BTreeMap, BTreeSet};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::{QUESTION, Verdict, files, verdict};
use crate::commands::Context;
use crate::failure::{Code, Failure};
use crate::limits;
use crate::process::{ProcessError, Program};
use crate::scan::Finding;
use crate::scan::secrets::{Hit, Rules, hits};

/// Of how many findings the commit is looked up: more are not read one by one.
const LOOKED_UP: usize = 20;

/// An object of git with text in it.
struct Object {
    id: String,
    /// Where it is, or was; empty for a commit or a tag.
    path: String,
    text: String,
}

/// A secret, and the object with it.
type Found = BTreeMap<(String, String), (String, Hit)>;

pub(super) async fn check(context: &Context) -> Result<Verdict, Failure> {
    let rules = files::rules(&context.project)?;
    let reachable = reachable(context).await?;
    let present = present(context).await?;
    let (found, looked_at, long) = search(context, &reachable, &present, rules).await?;
    let mut findings = Vec::new();
    for (index, ((path, print), (id, hit))) in found.iter().enumerate() {
        let commit =
            if path.is_empty() || index >= LOOKED_UP { None } else { commit_with(context, id).await };
        let place = match (path.as_str(), commit) {
            ("", _) => format!("message of {}", &id[..12]),
            (path, Some(commit)) => format!("{path}:{} of commit {commit}", hit.line),
            (path, None) => format!("{path}:{} of object {}", hit.line, &id[..12]),
        };
        findings.push(Finding { place, message: format!("{} (fingerprint {print})", hit.what) });
    }
    let mut said = vec![format!("{looked_at} objects of earlier versions")];
    if long > 0 {
        said.push(format!("{long} longer than {} MiB not looked into", limits::HISTORY_OBJECT >> 20));
    }
    let is_shallow = git(context, &["rev-parse", "--is-shallow-repository"]).await?.trim() == "true";
    if is_shallow && findings.is_empty() {
        let why =
            "the clone is shallow, so most of the history is not here; `git fetch --unshallow` brings it";
        return Ok(Verdict::NotRun(why.to_owned()));
    }
    Ok(verdict(&findings, said.join("; ")))
}

async fn git(context: &Context, arguments: &[&str]) -> Result<String, Failure> {
    let program =
        Program::new("git", QUESTION).args(arguments.iter().copied()).directory(context.project.root());
    program.output().await.map_err(|error| unreadable(&error))
}

fn unreadable(error: &ProcessError) -> Failure {
    Failure::new(Code::ProgramMissing, format!("cannot read the repository's history: {error}"))
        .hint("the scan looks at what git knows")
}

/// Everything that a branch, a tag or the stash reaches, with its path as far as it has one.
async fn reachable(context: &Context) -> Result<BTreeMap<String, String>, Failure> {
    let list = git(context, &["-c", "core.quotePath=false", "rev-list", "--objects", "--all"]).await?;
    let entry = |line: &str| {
        let (id, path) = line.split_once(' ').unwrap_or((line, ""));
        (id.to_owned(), path.to_owned())
    };
    Ok(list.lines().map(entry).collect())
}

/// The objects of the files as they are now, which are looked at as files. A file that was changed or removed since is not
/// as its object is, nor need one be that git was told not to look at (tags other than `H`, git-ls-files(1)).
async fn present(context: &Context) -> Result<BTreeSet<String>, Failure> {
    let list = git(context, &["ls-files", "-z", "-v", "--stage"]).await?;
    let changed = git(context, &["ls-files", "-z", "--modified", "--deleted"]).await?;
    let changed: BTreeSet<&str> = changed.split('\0').map(|path| path.trim_end_matches('\n')).collect();
    let as_it_is = |entry: &str| {
        let (words, path) = entry.split_once('\t')?;
        let mut words = words.split_whitespace();
        let (tag, _mode, id) = (words.next()?, words.next()?, words.next()?);
        (tag == "H" && !changed.contains(path)).then(|| id.to_owned())
    };
    Ok(list.split('\0').map(|entry| entry.trim_start_matches('\n')).filter_map(as_it_is).collect())
}

/// Reads every object in one go, and searches those that are asked for.
async fn search(
    context: &Context,
    reachable: &BTreeMap<String, String>,
    present: &BTreeSet<String>,
    rules: Rules,
) -> Result<(Found, usize, usize), Failure> {
    let program = Program::new("git", QUESTION)
        .args(["cat-file", "--batch", "--batch-all-objects", "--unordered", "--buffer"])
        .directory(context.project.root());
    let mut running = program.stream().map_err(|error| unreadable(&error))?;
    let mut output = BufReader::new(running.stdout.take().expect("it was asked for as a pipe"));
    let failed =
        |error: std::io::Error| Failure::new(Code::Internal, format!("cannot read git's objects: {error}"));
    let (mut found, mut looked_at, mut long, mut met) = (Found::new(), 0, 0, 0);
    let (mut batch, mut held) = (Vec::new(), 0);
    let mut header = String::new();
    loop {
        header.clear();
        if output.read_line(&mut header).await.map_err(failed)? == 0 {
            break;
        }
        let mut words = header.split_whitespace();
        let (Some(id), Some(kind), Some(size)) = (words.next(), words.next(), words.next()) else { continue };
        let size: usize = size.parse().map_err(|error| failed(std::io::Error::other(error)))?;
        let mut bytes = vec![0; size + 1];
        output.read_exact(&mut bytes).await.map_err(failed)?;
        met += usize::from(reachable.contains_key(id));
        let path = reachable.get(id).filter(|_| kind != "tree" && !present.contains(id));
        let Some(path) = path else { continue };
        if size > limits::HISTORY_OBJECT {
            long += 1;
            continue;
        }
        looked_at += 1;
        held += size;
        // A message has no path, whatever it is listed with.
        let path = if kind == "blob" { path.clone() } else { String::new() };
        batch.push(Object { id: id.to_owned(), path, text: String::from_utf8_lossy(&bytes).into_owned() });
        if held > limits::HISTORY_BATCH {
            judge(std::mem::take(&mut batch), &rules, &mut found).await;
            held = 0;
        }
    }
    judge(batch, &rules, &mut found).await;
    // What it has not shown, because it was killed or an object is damaged, was not searched.
    let ended = running.wait_with_output().await.map_err(failed)?;
    if !ended.status.success() || met < reachable.len() {
        let said = String::from_utf8_lossy(&ended.stderr).lines().map(str::to_owned).collect::<Vec<_>>();
        let message = format!(
            "cannot read the repository's history: git showed {met} of {} objects ({})",
            reachable.len(),
            ended.status
        );
        return Err(Failure::new(Code::ProjectInvalid, message)
            .details(said)
            .hint("`git fsck` tells what is damaged"));
    }
    Ok((found, looked_at, long))
}

/// Searches objects on threads of their own: it is all computing.
async fn judge(batch: Vec<Object>, rules: &Rules, found: &mut Found) {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut shares: Vec<Vec<Object>> = (0..threads).map(|_| Vec::new()).collect();
    for (index, object) in batch.into_iter().enumerate() {
        shares[index % threads].push(object);
    }
    let work = shares.into_iter().map(|share| {
        let rules = rules.clone();
        tokio::task::spawn_blocking(move || {
            let of_object = |object: Object| {
                let found = hits(&object.path, &object.text, &rules);
                found.into_iter().map(move |hit| {
                    ((object.path.clone(), hit.fingerprint.clone()), (object.id.clone(), hit))
                })
            };
            share.into_iter().flat_map(of_object).collect::<Vec<_>>()
        })
    });
    for share in futures_util::future::join_all(work).await {
        for (key, value) in share.expect("the search neither panics nor is cancelled") {
            // Of many versions with the same secret, any: the least, so that two runs say the same.
            let least = found.entry(key).or_insert_with(|| value.clone());
            if value.0 < least.0 {
                *least = value;
            }
        }
    }
}

/// The oldest commit that brought or removed an object.
async fn commit_with(context: &Context, object: &str) -> Option<String> {
    let find = format!("--find-object={object}");
    let list = git(context, &["log", "--all", "--format=%h", "--reverse", &find]).await.ok()?;
    list.lines().next().map(str::to_owned)
}
