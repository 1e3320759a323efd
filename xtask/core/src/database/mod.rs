//! The development database: which services of a stack hold it, what its snapshots are called, and whether one fits the
//! migrations of a checkout.
//!
//! Architecture invariant: this room is pure. It does no I/O and reads no clock; `sql` gives texts, commands have them run.
//!
//! A snapshot is a database of the same server, made by copying, so that putting it back is a copy too. What it was made
//! under stands in its comment: a copy does not inherit it, and it goes with the snapshot, not with this checkout.

mod migrations;
pub mod refusal;
mod snapshot;
pub mod sql;

use std::collections::BTreeMap;

use crate::plan::{Action, Plan};
use crate::stack::{ServiceName, Stack};

pub use migrations::{Difference, Migration, digest, version};
pub use snapshot::{Kind, NameError, Record, Snapshot, SnapshotName, read};

/// The service that holds the database.
pub const SERVER: &str = "postgres";
/// The one-shot that brings the database to the state that the service's version needs.
pub const MIGRATE: &str = "migrate";
/// The variable that tells the one-shot which database is meant.
pub const NAME: &str = "DB_NAME";
/// The service that keeps what can be made again from the database.
pub const CACHE: &str = "redis";

/// Whether a plan touches the database: the server, what migrates it, or data.
pub fn is_touched_by(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| match step.action.service() {
        Some(service) => [SERVER, MIGRATE].contains(&service.as_str()),
        None => matches!(step.action, Action::RemoveVolume(_)),
    })
}

/// Where a stack has its database, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The service that holds it.
    pub server: ServiceName,
    /// The server's superuser.
    pub superuser: String,
    /// The database's name.
    pub database: String,
    /// The application's role.
    pub role: String,
    /// Whether the stack has a service that migrates it.
    pub migrates: bool,
    /// Whether that service is told by [`NAME`] which database is meant, so that it can be told another one.
    pub by_name: bool,
}

/// Why a stack has no database that can be worked on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// There is no such service.
    #[error("the stack has no service {SERVER}, whose database this command works on")]
    NoServer,
    /// A database cannot be replaced from within, and every other command is given to `postgres`.
    #[error(
        "POSTGRES_DB of service {SERVER} is {0:?}, which is the server's own database: the application needs another"
    )]
    ServersOwn(String),
}

impl Target {
    /// Reads the official image's variables: `POSTGRES_USER` (by default `postgres`), `POSTGRES_DB` (by default the
    /// same), and `DB_USER` for the application's role (by default the superuser).
    ///
    /// # Errors
    /// When there is no such service, or it has no database of the application's own.
    pub fn of(stack: &Stack) -> Result<Self, TargetError> {
        let service = stack.services.get(&ServiceName::new(SERVER)).ok_or(TargetError::NoServer)?;
        let target = Self::of_server(&service.environment)?;
        let migrate = stack.services.get(&ServiceName::new(MIGRATE));
        let by_name = migrate.is_some_and(|migrate| migrate.environment.get(NAME) == Some(&target.database));
        Ok(Self { migrates: migrate.is_some(), by_name, ..target })
    }

    /// The same by the variables of the server alone, which its container tells too; nothing migrates it then.
    ///
    /// # Errors
    /// When it has no database of the application's own.
    pub fn of_server(environment: &BTreeMap<String, String>) -> Result<Self, TargetError> {
        let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
        let superuser = variable("POSTGRES_USER").unwrap_or_else(|| "postgres".to_owned());
        let database = variable("POSTGRES_DB").unwrap_or_else(|| superuser.clone());
        if [sql::MAINTENANCE, "template0", "template1"].contains(&database.as_str()) {
            return Err(TargetError::ServersOwn(database));
        }
        let role = variable("DB_USER").unwrap_or_else(|| superuser.clone());
        let server = ServiceName::new(SERVER);
        Ok(Self { server, superuser, database, role, migrates: false, by_name: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Cause, Seat, Step, VolumeSeen};
    use crate::stack::{NetworkName, Source, VolumeName, parse};

    fn target(services: &str) -> Result<Target, TargetError> {
        let text = format!("services: {services}");
        let source = Source {
            path: std::path::Path::new("compose.yaml"),
            text: &text,
            directory: std::path::Path::new("/stack"),
            project: None,
            variables: &|_| None,
            files: &|_| None,
        };
        Target::of(&parse(&source).unwrap().stack)
    }

    #[test]
    fn a_plan_touches_the_database_by_its_server_its_migration_or_data() {
        let volume = VolumeSeen {
            engine_name: "shop_data".to_owned(),
            name: VolumeName::new("data"),
            config_hash: String::new(),
        };
        let start = |service: &str| Action::StartContainer(Seat::holder(&ServiceName::new(service)));
        let table = [
            (start("postgres"), true),
            (start("migrate"), true),
            (start("service"), false),
            (Action::RemoveVolume(volume), true),
            (Action::CreateNetwork(NetworkName::new("default")), false),
        ];
        for (action, touches) in table {
            let told = action.to_string();
            let step = Step { action, cause: Cause::Asked, needs: Vec::new(), optional: false };
            let plan = Plan { steps: vec![step], notes: Vec::new() };
            assert_eq!(is_touched_by(&plan), touches, "{told}");
        }
    }

    #[test]
    fn the_server_and_its_roles_are_read_from_the_stack() {
        let of = |environment: &str| {
            let found = target(&format!("{{postgres: {{image: a, environment: {environment}}}}}"))?;
            Ok((found.superuser, found.database, found.role, found.migrates))
        };
        let text = |a: &str, b: &str, c: &str| Ok((a.to_owned(), b.to_owned(), c.to_owned(), false));
        assert_eq!(of("{POSTGRES_USER: boss, POSTGRES_DB: shop, DB_USER: web}"), text("boss", "shop", "web"));
        assert_eq!(of("{POSTGRES_USER: shop}"), text("shop", "shop", "shop"));
        assert_eq!(of("{POSTGRES_DB: shop, DB_USER: ''}"), text("postgres", "shop", "postgres"));
        assert_eq!(of("{POSTGRES_PASSWORD: x}"), Err(TargetError::ServersOwn("postgres".to_owned())));
        assert_eq!(target("{store: {image: a}}"), Err(TargetError::NoServer));
        let told = [("POSTGRES_DB", "shop"), ("PATH", "/bin"), ("DB_USER", "web")];
        let told = told.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let of_server = Target::of_server(&told);
        assert_eq!(
            of_server,
            target("{postgres: {image: a, environment: {POSTGRES_DB: shop, DB_USER: web}}}")
        );
        let both = "{postgres: {image: a, environment: {POSTGRES_DB: shop}}, migrate: {image: b}}";
        assert!(target(both).unwrap().migrates && !target(both).unwrap().by_name);
        let named = both.replace("{image: b}", "{image: b, environment: {DB_NAME: shop}}");
        assert!(target(&named).unwrap().by_name);
    }
}
