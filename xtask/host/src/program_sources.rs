//! The files that a compiled program was made of, by cargo's own list of them: whether it is up to date, told without cargo,
//! and where a change of them is to be looked for.
//!
//! Must not: compile, or know of images.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The files that decide what a program is: those that the compiler read, which cargo lists beside the program
/// (`service.d`), and the manifests and settings above them. Files that need not exist are left out when they do not.
///
/// # Errors
/// When the list cannot be read: it was never built.
pub fn sources(program: &Path) -> std::io::Result<Vec<PathBuf>> {
    let list = std::fs::read_to_string(program.with_extension("d"))?;
    let mut sources = listed(&list);
    let mut directories = BTreeSet::new();
    for source in &sources {
        directories.extend(source.ancestors().skip(1).map(Path::to_owned));
    }
    let settings =
        ["Cargo.toml", "Cargo.lock", ".cargo/config.toml", "rust-toolchain.toml", "rust-toolchain"];
    sources.extend(
        directories
            .iter()
            .flat_map(|directory| settings.map(|name| directory.join(name)))
            .filter(|path| path.is_file()),
    );
    Ok(sources)
}

/// Where a change of a program's sources is to be looked for, as far as they are the checkout's own: their directories, and
/// the files themselves of those that hold the checkout. What a build has written is nobody's source.
pub fn places(root: &Path, program: &Path, sources: &[PathBuf]) -> BTreeSet<PathBuf> {
    let made = program.ancestors().nth(2).unwrap_or(program);
    let own = sources.iter().filter(|source| source.starts_with(root) && !source.starts_with(made));
    own.map(|source| source.parent().filter(|above| !root.starts_with(above)).unwrap_or(source).to_owned())
        .collect()
}

/// The files in a list as compilers write it for make: `target: file file…`, a space in a name escaped.
fn listed(list: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in list.lines() {
        let Some((_, names)) = line.split_once(": ") else { continue };
        let mut name = String::new();
        let mut characters = names.chars().chain([' ']);
        while let Some(character) = characters.next() {
            match character {
                '\\' => name.extend(characters.next()),
                ' ' if !name.is_empty() => files.push(PathBuf::from(std::mem::take(&mut name))),
                ' ' => {}
                character => name.push(character),
            }
        }
    }
    files
}

/// Dates a program that cargo left alone although a file is newer: a manifest whose change concerns another package, or
/// a file saved as it was. Its time then says again that it is up to date; cargo, too, asks only whether it is older.
///
/// # Errors
/// When the program is gone, or its time cannot be changed.
pub fn date(program: &Path, sources: &[PathBuf], built: SystemTime) -> std::io::Result<()> {
    if newer(sources, std::fs::metadata(program)?.modified()?).is_some() {
        std::fs::File::options().write(true).open(program)?.set_modified(built)?;
    }
    Ok(())
}

/// The first file that was written after `time`, or is gone.
pub fn newer(files: &[PathBuf], time: SystemTime) -> Option<&PathBuf> {
    files.iter().find(|file| {
        std::fs::metadata(file)
            .and_then(|metadata| metadata.modified())
            .map_or(true, |modified| modified > time)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_sources_is_read_as_make_reads_it() {
        let table: [(&str, &[&str]); 4] = [
            ("/t/debug/service: /s/a.rs /s/b.rs\n", &["/s/a.rs", "/s/b.rs"]),
            ("/t/debug/service: /my\\ code/a.rs\n", &["/my code/a.rs"]),
            ("C:\\t\\service.exe: C:/s/a.rs\n\n# comment", &["C:/s/a.rs"]),
            ("/t/debug/service:\n", &[]),
        ];
        for (list, expected) in table {
            assert_eq!(listed(list), expected.iter().map(PathBuf::from).collect::<Vec<_>>(), "{list}");
        }
    }

    #[test]
    fn manifests_and_settings_above_the_sources_count_as_sources() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        for file in ["Cargo.lock", "Cargo.toml", "app/Cargo.toml", "app/src/main.rs", ".cargo/config.toml"] {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, "").expect("a file");
        }
        let program = root.join("app.bin");
        assert!(sources(&program).is_err(), "it was never built");
        std::fs::write(root.join("app.d"), format!("app.bin: {}/app/src/main.rs\n", root.display()))
            .expect("a file");
        let mut found: Vec<String> = sources(&program)
            .expect("the list is there")
            .iter()
            .filter_map(|path| Some(path.strip_prefix(root).ok()?.display().to_string()))
            .collect();
        found.sort();
        assert_eq!(
            found,
            [".cargo/config.toml", "Cargo.lock", "Cargo.toml", "app/Cargo.toml", "app/src/main.rs"]
        );
    }

    #[test]
    fn sources_are_watched_where_they_lie_in_the_checkout() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let sources = paths(&[
            "/c/service/src/main.rs",
            "/c/service/src/main/routes.rs",
            "/c/common/src/lib.rs",
            "/c/README.md",
            "/c/Cargo.toml",
            "/c/.cargo/config.toml",
            "/Cargo.toml",
            "/other/src/lib.rs",
            "/c/target/debug/build/web-1f/out/made.rs",
        ]);
        let expected = [
            "/c/.cargo",
            "/c/Cargo.toml",
            "/c/README.md",
            "/c/common/src",
            "/c/service/src",
            "/c/service/src/main",
        ];
        let seen = places(Path::new("/c"), Path::new("/c/target/debug/web"), &sources);
        assert_eq!(seen, paths(&expected).into_iter().collect());
    }

    #[test]
    fn a_program_that_cargo_left_alone_is_up_to_date() {
        let directory = tempfile::tempdir().expect("a directory");
        let [program, manifest] = ["app", "Cargo.toml"].map(|name| directory.path().join(name));
        let at = |seconds| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let write = |path: &Path, time| {
            std::fs::write(path, "").expect("a file");
            std::fs::File::options()
                .write(true)
                .open(path)
                .and_then(|file| file.set_modified(time))
                .expect("its time");
        };
        let modified =
            || std::fs::metadata(&program).and_then(|metadata| metadata.modified()).expect("its time");
        write(&program, at(1000));
        let sources = [manifest.clone()];
        write(&manifest, at(500));
        date(&program, &sources, at(3000)).expect("it can be dated");
        assert_eq!(modified(), at(1000), "nothing is newer");
        write(&manifest, at(2000));
        date(&program, &sources, at(3000)).expect("it can be dated");
        assert_eq!((modified(), newer(&sources, modified())), (at(3000), None));
    }
}
