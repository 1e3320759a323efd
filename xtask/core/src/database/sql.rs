//! The scripts for `psql`: each one session on the server's own database.
//!
//! A script that its command no longer waits for (killed) goes on in the container. So each first waits for the one before,
//! and clears away what a script that was itself cut off has left half made. What replaces something is renamed into its
//! place in one transaction: whoever looks sees the old or the new.

use super::{Record, Target};

/// The database that scripts are given to: one that is there on every server and that no command replaces.
pub const MAINTENANCE: &str = "postgres";

/// A copy that is not in its place yet.
pub const FRESH: &str = "homeport_fresh";

/// What was replaced, until it is removed.
const GONE: &str = "homeport_gone";

/// The advisory lock of a script: "homeptdb" in ASCII, so that no other program hits on it by chance.
const LOCK: i64 = i64::from_be_bytes(*b"homeptdb");

/// The size in bytes above which a copy is made file by file, between two checkpoints (`STRATEGY FILE_COPY`, Postgres 15),
/// and not through the log. Measured on two busy cores: 8 MB take 0.14 s through the log and 0.65 s by files, 150 MB take
/// 1.1 s and 0.9 s.
const COPIED_BY_FILES: u64 = 100_000_000;

/// An identifier, quoted.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text, quoted (`standard_conforming_strings` is on since Postgres 9.1).
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The databases whose names are like snapshots', a JSON object a line.
pub fn list() -> String {
    "SELECT json_build_object('database', datname, 'comment', shobj_description(oid, 'pg_database'), \
     'size', pg_database_size(oid)) FROM pg_database WHERE datname LIKE 'homeport\\_snapshot\\_%' ORDER BY datname;\n"
        .to_owned()
}

/// In the application's database: the versions of the migrations that diesel noted, one a line.
pub fn applied() -> String {
    "SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS there \\gset\n\
     \\if :there\n\
     SELECT version FROM __diesel_schema_migrations ORDER BY version;\n\
     \\endif\n"
        .to_owned()
}

/// A person's script, all of it or nothing: also when psql gets only a part of it, because whoever writes it is killed.
/// (psql's own `--single-transaction` commits at the end of its input, wherever that is.)
pub fn whole(script: &str) -> String {
    // On one line, so that its lines have their own numbers in what psql says.
    format!("BEGIN; {script}\n;\nCOMMIT;\n")
}

/// Copies the application's database into a snapshot, in place of one of the same name.
pub fn save(target: &Target, snapshot: &str, record: &Record) -> String {
    let record = serde_json::to_string(record).expect("plain data serializes");
    let replaced = format!(
        "SELECT format('ALTER DATABASE %I RENAME TO %I', datname, {gone}) FROM pg_database WHERE datname = {name} \\gexec\n",
        gone = literal(GONE),
        name = literal(snapshot),
    );
    [
        begin(),
        cut_off(&target.database),
        copy(&target.database, &target.superuser),
        "BEGIN;\n".to_owned(),
        format!("COMMENT ON DATABASE {FRESH} IS {};\n", literal(&record)),
        // Nobody changes a snapshot by mistake, and nobody's connection keeps it from being copied.
        format!("ALTER DATABASE {FRESH} ALLOW_CONNECTIONS false;\n"),
        replaced,
        format!("ALTER DATABASE {FRESH} RENAME TO {};\n", identifier(snapshot)),
        "COMMIT;\n".to_owned(),
        drop(GONE),
    ]
    .concat()
}

/// Copies a snapshot beside the application's database, with that one's owner, rights and settings, which a copy does not
/// take over.
pub fn prepare(target: &Target, snapshot: &str) -> String {
    [begin(), copy(snapshot, &target.superuser), like(&target.database)].concat()
}

/// In the application's database, by the superuser: the statements that make the extensions which its role has not made
/// itself. An init script made them, or a person; what the role made, migrations make again.
pub fn extensions(target: &Target) -> String {
    format!(
        "SELECT CASE WHEN nspname IN ('public', 'pg_catalog') THEN '' ELSE \
         format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I; ', nspname, pg_get_userbyid(nspowner)) END \
         || format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I VERSION %L;', extname, nspname, extversion) \
         FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace \
         WHERE pg_get_userbyid(extowner) <> {} ORDER BY pg_extension.oid;\n",
        literal(&target.role)
    )
}

/// Makes an empty database beside the application's, with that one's owner, rights and settings, and what these
/// [`extensions`] make.
pub fn prepare_empty(target: &Target, extensions: &str) -> String {
    let (create, enter) = (format!("CREATE DATABASE {FRESH};\n"), format!("\\connect {FRESH}\n"));
    [begin(), create, like(&target.database), enter, extensions.to_owned()].concat()
}

/// Puts what was prepared into the place of the application's database.
pub fn swap(target: &Target) -> String {
    let database = identifier(&target.database);
    [
        format!("SELECT pg_advisory_lock({LOCK});\n"),
        cut_off(&target.database),
        "BEGIN;\n".to_owned(),
        format!("ALTER DATABASE {database} RENAME TO {GONE};\n"),
        format!("ALTER DATABASE {FRESH} RENAME TO {database};\n"),
        "COMMIT;\n".to_owned(),
    ]
    .concat()
}

/// Removes what was replaced.
pub fn clear() -> String {
    begin()
}

/// Removes a snapshot.
pub fn remove(snapshot: &str) -> String {
    [begin(), drop(&identifier(snapshot))].concat()
}

fn begin() -> String {
    format!(
        "SET client_min_messages = warning;\nSELECT pg_advisory_lock({LOCK});\n{}{}",
        drop(FRESH),
        drop(GONE)
    )
}

/// `database` is quoted, or needs no quotes.
fn drop(database: &str) -> String {
    format!("DROP DATABASE IF EXISTS {database} WITH (FORCE);\n")
}

/// A database that is copied or renamed must have no connection; the service opens others by itself.
fn cut_off(database: &str) -> String {
    format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = {};\n",
        literal(database)
    )
}

fn copy(from: &str, owner: &str) -> String {
    format!(
        "SELECT CASE WHEN pg_database_size({name}) > {COPIED_BY_FILES} AND current_setting('server_version_num')::int >= 150000 \
         THEN 'STRATEGY FILE_COPY' ELSE '' END AS strategy \\gset\n\
         CREATE DATABASE {FRESH} TEMPLATE {from} OWNER {owner} :strategy;\n",
        name = literal(from),
        from = identifier(from),
        owner = identifier(owner),
    )
}

/// Gives the fresh database the owner, the rights and the settings of another, those for single roles included.
fn like(database: &str) -> String {
    let (of, fresh) = (literal(database), literal(FRESH));
    format!(
        "SELECT format('ALTER DATABASE %I OWNER TO %I', {fresh}, pg_get_userbyid(datdba)) FROM pg_database WHERE datname = {of} \\gexec\n\
         REVOKE ALL ON DATABASE {FRESH} FROM PUBLIC;\n\
         SELECT format('GRANT %s ON DATABASE %I TO %s%s', privilege_type, {fresh}, \
         CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END, \
         CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) \
         FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) \
         WHERE datname = {of} AND grantee <> datdba \\gexec\n\
         INSERT INTO pg_db_role_setting SELECT fresh.oid, setrole, setconfig \
         FROM pg_db_role_setting, pg_database AS old, pg_database AS fresh \
         WHERE setdatabase = old.oid AND old.datname = {of} AND fresh.datname = {fresh};\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    fn target() -> Target {
        Target {
            server: crate::stack::ServiceName::new("postgres"),
            superuser: "o'\"wner".to_owned(),
            database: "s'h\"op".to_owned(),
            role: "w'eb".to_owned(),
            migrates: false,
            by_name: false,
        }
    }

    fn record() -> Record {
        let created = "2026-01-02T03:04:05Z".to_owned();
        Record { homeport: Kind::Snapshot, created, of: "s'h\"op".to_owned(), migrations: Vec::new() }
    }

    #[test]
    fn nothing_ends_its_quotes() {
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("a'b\\"), "'a''b\\'");
        let target = target();
        let scripts = [
            save(&target, "n'a\"me", &record()),
            prepare(&target, "n'a\"me"),
            prepare_empty(&target, ""),
            extensions(&target),
            swap(&target),
            remove("n'a\"me"),
        ];
        for script in scripts {
            for raw in ["s'h\"op", "o'\"wner", "w'eb", "n'a\"me"] {
                assert!(!script.contains(raw), "{raw} is not quoted in\n{script}");
            }
        }
    }

    #[test]
    fn whatever_changes_something_waits_for_the_script_before() {
        let target = target();
        let changing = [
            save(&target, "x", &record()),
            prepare(&target, "x"),
            prepare_empty(&target, ""),
            swap(&target),
            clear(),
            remove("x"),
        ];
        for script in changing {
            let lock = script.find("pg_advisory_lock").expect("a lock");
            let first =
                ["DROP", "CREATE", "ALTER", "COMMENT"].iter().filter_map(|word| script.find(word)).min();
            assert!(first.is_none_or(|first| lock < first), "changed before the lock:\n{script}");
        }
        for script in [list(), applied(), extensions(&target)] {
            assert!(script.starts_with("SELECT ") && !script.contains("DROP"), "{script}");
        }
    }

    /// That `script` has all of these, one behind the other.
    fn assert_in_order(script: &str, parts: &[&str]) {
        let mut rest = script;
        for part in parts {
            let found = rest.split_once(part).unwrap_or_else(|| panic!("no {part:?} there in\n{script}"));
            rest = found.1;
        }
    }

    const CLEARED: [&str; 3] = [
        "pg_advisory_lock",
        "DROP DATABASE IF EXISTS homeport_fresh WITH (FORCE);",
        "DROP DATABASE IF EXISTS homeport_gone WITH (FORCE);",
    ];

    #[test]
    fn what_a_script_before_left_half_made_is_cleared_away_first() {
        let target = target();
        let last = "DROP DATABASE IF EXISTS \"x\" WITH (FORCE);";
        assert_in_order(&remove("x"), &[&CLEARED[..], &[last]].concat());
        for script in [save(&target, "x", &record()), prepare(&target, "x"), prepare_empty(&target, "")] {
            assert_in_order(&script, &[&CLEARED[..], &["CREATE DATABASE homeport_fresh"]].concat());
        }
        assert_in_order(&clear(), &CLEARED);
    }

    #[test]
    fn a_database_has_no_connection_when_it_is_copied_or_renamed() {
        let target = Target { superuser: "boss".to_owned(), database: "shop".to_owned(), ..target() };
        let cut_off = ["pg_terminate_backend", "datname = 'shop'"];
        let copied = ["CREATE DATABASE homeport_fresh TEMPLATE \"shop\" OWNER \"boss\"", CLEARED[2]];
        assert_in_order(&save(&target, "x", &record()), &[cut_off, copied].concat());
        let renamed = ["ALTER DATABASE \"shop\" RENAME TO homeport_gone"];
        assert_in_order(&swap(&target), &[&cut_off[..], &renamed].concat());
    }

    #[test]
    fn what_takes_the_databases_place_gets_its_owner_rights_and_settings() {
        let target = Target { superuser: "boss".to_owned(), database: "shop".to_owned(), ..target() };
        let alike = ["OWNER TO", "GRANT", "datname = 'shop'", "pg_db_role_setting", "old.datname = 'shop'"];
        let copied = ["CREATE DATABASE homeport_fresh TEMPLATE \"x\" OWNER \"boss\""];
        assert_in_order(&prepare(&target, "x"), &[&copied[..], &alike].concat());
        let made = ["\\connect homeport_fresh\n", "CREATE EXTENSION"];
        assert_in_order(&prepare_empty(&target, "CREATE EXTENSION y;\n"), &[&alike[..], &made].concat());
    }

    #[test]
    fn a_part_of_a_persons_script_does_nothing() {
        for script in ["CREATE TABLE a ();", "SELECT 1", "SELECT 1 -- the last line is a comment"] {
            let whole = whole(script);
            let within = whole.strip_prefix("BEGIN; ").and_then(|rest| rest.strip_suffix("\n;\nCOMMIT;\n"));
            assert_eq!(within, Some(script));
        }
    }

    #[test]
    fn what_is_replaced_is_renamed_in_one_transaction() {
        let target = target();
        for script in [save(&target, "x", &record()), swap(&target)] {
            let (begin, commit) =
                (script.find("BEGIN;").expect("a begin"), script.find("COMMIT;").expect("its end"));
            let renames: Vec<usize> = script.match_indices("RENAME TO").map(|(at, _)| at).collect();
            assert_eq!(renames.len(), 2, "{script}");
            assert!(renames.iter().all(|at| (begin..commit).contains(at)), "{script}");
        }
    }
}
