//! The release image and its bill of materials. Asks the engine and cargo, and lets the pure rules judge.

use std::path::PathBuf;

use futures_util::TryStreamExt as _;
use serde_json::Value;

use super::{QUESTION, Verdict, files, verdict};
use crate::commands::Context;
use crate::commands::image::identity;
use crate::failure::{Code, Failure};
use crate::images::layers;
use crate::limits;
use crate::process::Program;
use crate::quantity::bytes;
use crate::scan::{Finding, bill, image};
use crate::session::Session;

/// How much of each file of an image is searched for secrets: the service's program whole.
const SEARCHED: u64 = 64 << 20;

/// The image that is looked into: the chosen one, else the release image.
pub(super) fn reference(session: &Session, chosen: Option<&str>) -> Result<String, Failure> {
    match chosen {
        Some(reference) => Ok(reference.to_owned()),
        None => Ok(format!("{}:{}", identity::made_here(&session.stack)?.repository, identity::VERSION)),
    }
}

/// Why an image that the engine does not have is not looked into.
pub(super) fn not_there(reference: &str) -> Verdict {
    Verdict::NotRun(format!("the engine does not have {reference}; `cargo xtask image build` builds it"))
}

pub(super) async fn check(context: &Context, chosen: Option<&str>) -> Result<Verdict, Failure> {
    let rules = files::rules(&context.project)?;
    let (session, _) = context.session_as_found(true).await?;
    let reference = reference(&session, chosen)?;
    let Some(configuration) = session.engine.image_configuration(&reference).await? else {
        return Ok(not_there(&reference));
    };
    let most = match chosen {
        Some(_) => None,
        None => identity::made_here(&session.stack)?.max_size,
    };
    if configuration.size > limits::SCANNED_IMAGE {
        let (is, limit) = (bytes(configuration.size), bytes(limits::SCANNED_IMAGE));
        let message = format!("has {is}; more than {limit} are not looked into");
        let finding = Finding { place: reference, message };
        return Ok(verdict(&[finding], String::new()));
    }
    let archive = session.engine.save_images(&[&reference]);
    let archive: Vec<u8> = archive
        .try_fold(Vec::new(), |mut all, chunk| async move {
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await?;
    let files = layers::files(&archive, SEARCHED).map_err(|error| {
        Failure::new(Code::ImageFailed, format!("cannot read the archive of {reference}: {error}"))
    })?;
    let found = image::image(&reference, &configuration, &files, most, &rules);
    Ok(verdict(&found, format!("{reference}, {} in {} files", bytes(configuration.size), files.len())))
}

/// Writes the bill of the service's program beside the run logs.
pub(super) async fn bill_of_materials(context: &Context) -> Result<Verdict, Failure> {
    let (stack, ..) = context.project.stack_as_found()?;
    let package = identity::made_here(&stack)?.package;
    let metadata = metadata(context).await?;
    let bill = bill::bill_of_materials(&metadata, &package)
        .map_err(|error| Failure::new(Code::ProjectInvalid, error))?;
    let count = bill["components"].as_array().map_or(0, Vec::len);
    let path = bill_file(context)?;
    crate::commands::keep(&path, &(format!("{bill:#}") + "\n"))?;
    Ok(Verdict::Passed(format!("{count} components in {}", context.project.relative(&path).display())))
}

/// Where the bill is written.
pub(super) fn bill_file(context: &Context) -> Result<PathBuf, Failure> {
    let (stack, ..) = context.project.stack_as_found()?;
    let package = identity::made_here(&stack)?.package;
    Ok(context.project.scratch().join(format!("{package}.cdx.json")))
}

async fn metadata(context: &Context) -> Result<Value, Failure> {
    let arguments = ["metadata", "--format-version", "1", "--locked"];
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let program = Program::new("cargo", QUESTION)
        .args(arguments)
        .args(["--filter-platform", &target])
        .directory(context.project.root());
    let text =
        program.output().await.map_err(|error| Failure::new(Code::ProjectInvalid, error.to_string()))?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::new(Code::Internal, format!("cargo metadata: {error}")))
}
