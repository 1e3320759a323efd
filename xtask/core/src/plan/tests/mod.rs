//! What a plan is for: tables of stack × observed → printed plan, and properties over random stacks and histories.
//!
//! `engine` is a small model of an engine that refuses what a real one would; `history` makes random stacks and what
//! befalls them.

mod changes;
mod engine;
mod from_nothing;
mod history;
mod images;
mod interrupted;
mod objects;
mod partial;
mod print;
mod states;
mod swaps;
mod teardown;

use std::path::Path;

use super::{Observed, Plan, Wanted, up};
use crate::stack::{ImageReference, NetworkName, ServiceName, Source, Stack, VolumeName, parse};
use engine::World;

/// A database with data, what brings it to its schema once, what serves from it, what watches that, and a cache.
const SHOP: &str = "
name: shop
services:
  postgres:
    image: postgres:17
    ports: ['127.0.0.1:5432:5432']
    volumes: ['data:/var/lib/postgresql/data', './init.sql:/init.sql:ro']
    healthcheck: {test: [CMD, pg_isready]}
  redis:
    image: redis:8
    healthcheck: {test: [CMD, redis-cli, ping]}
  migrate:
    image: shop/service:dev
    command: [migrate]
    depends_on: {postgres: {condition: service_healthy}}
    x-homeport: {package: service}
  service:
    image: shop/service:dev
    command: [serve]
    ports: ['127.0.0.1:8000:8000']
    depends_on:
      migrate: {condition: service_completed_successfully}
      postgres: {condition: service_healthy}
      redis: {condition: service_healthy}
    healthcheck: {test: [CMD, /service, health]}
    x-homeport: {package: service}
  watcher:
    image: watcher:3
    volumes: ['./rules:/rules:ro']
    depends_on: {service: {condition: service_started}}
    x-homeport: {reload: SIGHUP}
volumes: {data: {}}
";

/// The stack of a Compose file.
fn stack(text: &str) -> Stack {
    let source = Source {
        text,
        path: Path::new("compose.yaml"),
        directory: Path::new("/shop"),
        project: None,
        variables: &|_| None,
        files: &|_| None,
    };
    parse(&source).unwrap_or_else(|error| panic!("{error:#?}\n{text}")).stack
}

/// A world in which the stack of this Compose file runs and is well.
fn settled(text: &str) -> World {
    let mut world = World::new(stack(text));
    world.bring_up();
    world
}

fn service(name: &str) -> ServiceName {
    ServiceName::new(name)
}

fn image(reference: &str) -> ImageReference {
    ImageReference::new(reference)
}

fn network(name: &str) -> NetworkName {
    NetworkName::new(name)
}

fn volume(name: &str) -> VolumeName {
    VolumeName::new(name)
}

fn plan_of(stack: &Stack, observed: &Observed) -> Plan {
    up(stack, observed, &Wanted::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Only these services, by name.
fn only(services: &[&str]) -> Wanted {
    Wanted { services: services.iter().map(|name| service(name)).collect(), ..Wanted::default() }
}
