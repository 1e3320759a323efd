//! What an engine answers while it still works for a program that was killed: played by one that answers from a list.

use std::path::Path;

use bollard::{ClientVersion, Docker};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use super::super::endpoint::{Address, Endpoint};
use super::super::named_by::NamedBy;
use super::*;
use crate::stack::{Source, parse};

/// An answer: its status and body.
type Answer = (u16, &'static str);

/// An engine that gives these answers, one a connection, and then tells what it was asked.
async fn engine_that_answers(answers: Vec<Answer>) -> (Engine, JoinHandle<Vec<String>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let authority = listener.local_addr().expect("an address").to_string();
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for (status, body) in answers {
            let (mut connection, _) = listener.accept().await.expect("a connection");
            let mut request = vec![0; 65536];
            let length = connection.read(&mut request).await.expect("a request");
            let line =
                String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned();
            let path = line.split(['?', ' ']).take(2).collect::<Vec<_>>().join(" ");
            asked.push(path.replace("/v1.41", ""));
            let head = format!(
                "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            connection.write_all(format!("{head}{body}").as_bytes()).await.expect("an answer");
            connection.shutdown().await.expect("an end");
        }
        asked
    });
    let version = ClientVersion { major_version: 1, minor_version: 41 };
    let docker = Docker::connect_with_http(&authority, 60, &version).expect("an address");
    let address = Address::Tcp { authority, tls: None };
    (Engine::over(docker, Endpoint { address, configured: NamedBy::Host, absent: Vec::new() }), asked)
}

const UNDER_WAY: Answer = (409, r#"{"message":"removal of container c is already in progress"}"#);
const GONE: Answer = (404, r#"{"message":"No such container: c"}"#);

#[tokio::test]
async fn a_removal_that_is_under_way_is_waited_for() {
    let (engine, asked) = engine_that_answers(vec![UNDER_WAY, UNDER_WAY, GONE]).await;
    let removed = engine.remove_container(&ContainerId("c".to_owned()), Duration::ZERO).await;
    assert_eq!(removed.expect("it is gone in the end"), Done::Before);
    assert_eq!(asked.await.expect("it was asked"), ["DELETE /containers/c"; 3]);
}

#[tokio::test]
async fn what_a_container_that_is_gone_still_holds_is_waited_for() {
    let (engine, asked) =
        engine_that_answers(vec![(409, r#"{"message":"volume is in use - [0123]"}"#), (204, "")]).await;
    assert_eq!(engine.remove_volume("v").await.expect("it is free in the end"), Done::Now);
    assert_eq!(asked.await.expect("it was asked"), ["DELETE /volumes/v"; 2]);
    let (engine, asked) =
        engine_that_answers(vec![(403, r#"{"message":"network n has active endpoints"}"#), (204, "")]).await;
    assert_eq!(engine.remove_network("n", &NetworkName::new("n")).await.expect("it is free"), Done::Now);
    assert_eq!(asked.await.expect("it was asked"), ["DELETE /networks/n"; 2]);
}

#[tokio::test]
async fn a_container_that_is_being_removed_is_not_taken_for_the_one_to_be_made() {
    let source = Source {
        path: Path::new("compose.yaml"),
        text: "name: p\nservices: {s: {image: a}}",
        directory: Path::new("/p"),
        project: None,
        variables: &|_| None,
        files: &|_| None,
    };
    let stack = parse(&source).expect("a stack").stack;
    let taken = (409, r#"{"message":"Conflict. The container name is already in use"}"#);
    let going = (200, r#"{"Config":{"Labels":{"dev.homeport.project":"p"}},"State":{"Status":"removing"}}"#);
    let (engine, asked) =
        engine_that_answers(vec![taken, going, taken, GONE, (201, r#"{"Id":"new","Warnings":[]}"#)]).await;
    let (name, service) = stack.services.iter().next().expect("one service");
    let blueprint = Blueprint {
        project: &stack.project,
        directory: Path::new("/p"),
        name,
        role: crate::plan::Role::Holder,
        service,
        files_hash: "",
        repeat_hash: "",
    };
    assert_eq!(engine.create_container(blueprint).await.expect("it can be made in the end"), Done::Now);
    let (create, look) = ("POST /containers/create", "GET /containers/p-s/json");
    assert_eq!(asked.await.expect("it was asked"), [create, look, create, look, create]);
}
