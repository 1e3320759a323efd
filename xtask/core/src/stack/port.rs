//! `ports` of a service.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::cursor::Cursor;
use super::model::{Port, Protocol};
use super::yaml::Value;

/// Ports in one range: each costs the engine a process of its own (docker-proxy), and a stack that wants more wants
/// something else.
const MAX_RANGE: u16 = 128;

/// One entry of `ports`, in either syntax. A range stands for several ports.
pub(super) fn read(at: &Cursor<'_>) -> Vec<Port> {
    let ports = match &at.node.value {
        Value::Map(_) => long(at).map(|port| vec![port]),
        _ => at.parsed(short),
    };
    ports.unwrap_or_default()
}

/// `[[ADDRESS:]PUBLISHED:]TARGET[/PROTOCOL]`, each port a number or a range (Compose Specification, "ports", short
/// syntax). An IPv6 address stands in brackets.
fn short(text: &str) -> Result<Vec<Port>, String> {
    let (rest, protocol) = match text.rsplit_once('/') {
        Some((rest, protocol)) => (rest, self::protocol(protocol)?),
        None => (text, Protocol::Tcp),
    };
    let (address, ports) = split_address(rest)?;
    let host_ip = address.map(self::address).transpose()?;
    let (published, target) = match ports.split_once(':') {
        Some(split) => split,
        None if address.is_some() => {
            return Err(format!("{text:?} has an address, but no published port after it"));
        }
        None => ("", ports),
    };
    let targets = range(target)?;
    // Nothing and 0 both leave the choice to the engine.
    if published.is_empty() || published == "0" {
        return Ok(targets.map(|target| Port { target, published: None, host_ip, protocol }).collect());
    }
    let published = range(published)?;
    if published.len() != targets.len() {
        return Err(format!(
            "the ranges in {text:?} differ in length; Homeport does not choose a port from a range"
        ));
    }
    let port = |(published, target)| Port { target, published: Some(published), host_ip, protocol };
    Ok(published.zip(targets).map(port).collect())
}

/// The address before the ports, if there is one.
fn split_address(text: &str) -> Result<(Option<&str>, &str), String> {
    if let Some(inner) = text.strip_prefix('[') {
        let (address, ports) =
            inner.split_once("]:").ok_or_else(|| format!("{text:?} has no ports after the address"))?;
        return Ok((Some(address), ports));
    }
    let Some((rest, target)) = text.rsplit_once(':') else { return Ok((None, text)) };
    let Some((address, published)) = rest.rsplit_once(':') else { return Ok((None, text)) };
    if address.contains(':') {
        return Err(format!("the address {address:?} must stand in brackets"));
    }
    Ok((Some(address), &text[text.len() - published.len() - 1 - target.len()..]))
}

/// A mapping with `target`, `published`, `host_ip` and `protocol`. What only tells a reader or a swarm something is
/// read and dropped: `name`, `app_protocol`, `mode`.
fn long(at: &Cursor<'_>) -> Option<Port> {
    let mut section = at.section();
    let target = section.take("target");
    let published = section.take("published").map(|at| at.parsed(one));
    let host_ip = section.take("host_ip").map(|at| at.parsed(address));
    let protocol = section.take("protocol").map(|at| at.parsed(self::protocol));
    for key in ["name", "app_protocol", "mode"] {
        section.take(key).and_then(|at| at.text());
    }
    section.finish(&[]);
    if target.is_none() {
        at.fault("needs a `target`");
    }
    let target_at = target?;
    let target = target_at.parsed(one)?;
    if target.is_none() {
        target_at.fault("is not a port between 1 and 65535");
    }
    Some(Port {
        target: target?,
        published: published.map_or(Some(None), |value| value)?,
        host_ip: host_ip.map_or(Some(None), |value| value.map(Some))?,
        protocol: protocol.unwrap_or(Some(Protocol::Tcp))?,
    })
}

/// A port; nothing and 0 are none.
fn one(text: &str) -> Result<Option<u16>, String> {
    match text.parse() {
        _ if text.is_empty() => Ok(None),
        Ok(port) => Ok(Some(port).filter(|port| *port > 0)),
        Err(_) if text.contains('-') => {
            Err(format!("Homeport does not support the range {text:?} here: name one port"))
        }
        Err(_) => Err(format!("{text:?} is not a port")),
    }
}

fn range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let port = |text: &str| match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("{text:?} is not a port between 1 and 65535")),
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(format!("the range {text:?} runs backwards"));
    }
    if last - first >= MAX_RANGE {
        return Err(format!("the range {text:?} has more than {MAX_RANGE} ports"));
    }
    Ok(first..=last)
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not an IP address"))
}

fn protocol(text: &str) -> Result<Protocol, String> {
    match text.to_ascii_lowercase().as_str() {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        _ => Err(format!("Homeport does not support the protocol {text:?}, only tcp and udp")),
    }
}
