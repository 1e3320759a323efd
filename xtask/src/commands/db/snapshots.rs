//! `cargo xtask db save`, `restore`, `list`, `remove`: copies of the database, inside its server.

use std::time::SystemTime;

use serde::Serialize;

use super::super::Context;
use super::server::{Database, absent};
use crate::database::{Difference, Kind, Record, Snapshot, SnapshotName, read, sql};
use crate::failure::{Code, Failure};
use crate::project::{Before, migrations};
use crate::ui::{Answer, Cell, Role, Style, Table};

/// What is lost when a copy of that name is made.
pub(super) async fn lost_by_save(
    database: &Database<'_>,
    name: &SnapshotName,
) -> Result<Option<String>, Failure> {
    let old = all(database).await?.into_iter().find(|snapshot| snapshot.name == *name);
    Ok(old.map(|old| format!("snapshot {name} of {} is replaced", old.record.created)))
}

/// Keeps a copy.
pub(super) async fn save(database: &Database<'_>, name: &SnapshotName) -> Result<(), Failure> {
    let record = Record {
        homeport: Kind::Snapshot,
        created: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        of: database.target.database.clone(),
        migrations: database.applied().await?,
    };
    let script = sql::save(&database.target, &name.database(), &record);
    let mut list = database.checklist(vec![format!("save snapshot {name}")]);
    list.step(async |_| Ok((database.script_alone(&script).await?, None))).await
}

/// What is lost when a copy is put back. One that was made under other migrations is named before it is used.
pub(super) async fn lost_by_restore(database: &Database<'_>, name: &SnapshotName) -> Result<String, Failure> {
    let snapshot = named(database, name).await?;
    let what = format!(
        "all data of database {} is thrown away for snapshot {name} of {}",
        database.target.database, snapshot.record.created
    );
    let difference = difference(database, &snapshot)?;
    Ok(if difference.is_none() { what } else { format!("{}; {what}", stale(name, &difference)) })
}

fn difference(database: &Database<'_>, snapshot: &Snapshot) -> Result<Difference, Failure> {
    Ok(Difference::between(&snapshot.record.migrations, &migrations(&database.context.project)?))
}

fn stale(name: &SnapshotName, difference: &Difference) -> String {
    format!("snapshot {name} is stale: it {}", difference.told())
}

/// Puts a copy back.
pub(super) async fn restore(
    database: &Database<'_>,
    name: &SnapshotName,
    before: Before,
) -> Result<(), Failure> {
    let difference = difference(database, &named(database, name).await?)?;
    if !difference.is_none() {
        let after = match (difference.lacks.is_empty(), database.target.migrates) {
            (false, true) => "; it is migrated too",
            _ => "",
        };
        database.context.events.warning(format!("{}{after}", stale(name, &difference)));
    }
    let migrate = !difference.lacks.is_empty() && database.target.migrates;
    let script = sql::prepare(&database.target, &name.database());
    database.replace(&format!("copy snapshot {name}"), &script, migrate, before).await
}

/// What is lost when a copy is removed.
pub(super) async fn lost_by_remove(database: &Database<'_>, name: &SnapshotName) -> Result<String, Failure> {
    let snapshot = named(database, name).await?;
    Ok(format!("snapshot {name} of {} is thrown away", snapshot.record.created))
}

/// Removes a copy.
pub(super) async fn remove(database: &Database<'_>, name: &SnapshotName) -> Result<(), Failure> {
    let snapshot = named(database, name).await?;
    let mut list = database.checklist(vec![format!("remove snapshot {name}")]);
    let script = sql::remove(&snapshot.name.database());
    list.step(async |_| Ok((database.script_alone(&script).await?, None))).await
}

/// Answers with all copies.
pub(super) async fn list(context: &Context) -> Result<(), Failure> {
    let database = Database::as_found(context).await?;
    if database.container.is_none() {
        return Err(absent());
    }
    let known = migrations(&context.project)?;
    let row = |snapshot: Snapshot| {
        let difference = Difference::between(&snapshot.record.migrations, &known);
        Row {
            name: snapshot.name,
            created: snapshot.record.created,
            size: snapshot.size,
            stale: !difference.is_none(),
            difference,
        }
    };
    let snapshots = context.unless_stopped(all(&database)).await?.into_iter().map(row).collect();
    context.answer(&Listing { snapshots })
}

async fn all(database: &Database<'_>) -> Result<Vec<Snapshot>, Failure> {
    Ok(read(&database.script(&sql::list()).await?, &database.target.database))
}

async fn named(database: &Database<'_>, name: &SnapshotName) -> Result<Snapshot, Failure> {
    let all = all(database).await?;
    let names: Vec<String> = all.iter().map(|snapshot| snapshot.name.to_string()).collect();
    all.into_iter().find(|snapshot| snapshot.name == *name).ok_or_else(|| {
        let hint = match names.as_slice() {
            [] => format!("there is none yet; `cargo xtask db save {name}` makes one"),
            names => format!("the snapshots are: {}", names.join(", ")),
        };
        let message = format!("database {} has no snapshot {name}", database.target.database);
        Failure::new(Code::Usage, message).hint(hint)
    })
}

#[derive(Debug, Serialize)]
struct Listing {
    snapshots: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: SnapshotName,
    /// RFC 3339.
    created: String,
    /// Bytes on disk.
    size: u64,
    /// Whether it was made under other migrations than this checkout's.
    stale: bool,
    difference: Difference,
}

impl Answer for Listing {
    fn human(&self, style: Style, columns: Option<usize>) -> Vec<String> {
        if self.snapshots.is_empty() {
            return vec!["no snapshots; `cargo xtask db save NAME` makes one".to_owned()];
        }
        let mut table = Table::new(["SNAPSHOT", "CREATED", "SIZE", "STATE", "MIGRATIONS"]);
        for row in &self.snapshots {
            let (role, state) = if row.stale { (Role::Caution, "stale") } else { (Role::Good, "current") };
            table.row([
                Cell::new(Role::Strong, row.name.to_string()),
                Cell::plain(&row.created),
                Cell::plain(crate::quantity::bytes(row.size)),
                Cell::new(role, state),
                Cell::plain(row.difference.told()),
            ]);
        }
        table.lines(style, columns)
    }
}
