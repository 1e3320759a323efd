//! A stack as YAML, each of its parts in one of the syntaxes that the specification has for it; which, a style decides.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use xtask::stack::{
    Build, Condition, HealthCheck, Homeport, Mount, MountSource, NetworkName, Port, Probe, Protocol, Restart,
    Service, Stack,
};

use crate::tree::{Style, Tree, quoted};

/// The stack as a Compose file in `directory`.
pub(crate) fn print(stack: &Stack, directory: &Path, style: &Style<'_>) -> String {
    let printer = Printer { directory, style };
    let tree = printer.stack(stack);
    tree.write(style)
}

struct Printer<'a> {
    directory: &'a Path,
    style: &'a Style<'a>,
}

impl Printer<'_> {
    fn stack(&self, stack: &Stack) -> Tree {
        let services = stack.services.iter().map(|(name, service)| (name.to_string(), self.service(service)));
        let networks = stack.networks.iter().map(|(name, network)| {
            let mut keys = self.driver(network.driver.as_ref(), &network.driver_opts);
            if network.internal || self.style.flip() {
                keys.push(("internal", self.boolean(network.internal)));
            }
            if self.style.flip() {
                keys.push(("name", self.text(&format!("{}_{name}", stack.project))));
            }
            (name.to_string(), map(keys))
        });
        let volumes = stack.volumes.iter().map(|(name, volume)| {
            (name.to_string(), map(self.driver(volume.driver.as_ref(), &volume.driver_opts)))
        });
        Tree::Map(vec![
            ("x-first".to_owned(), Tree::List(vec![Tree::Leaf("1".to_owned())])),
            ("name".to_owned(), self.text(stack.project.as_str())),
            ("services".to_owned(), Tree::Map(services.collect())),
            ("networks".to_owned(), Tree::Map(networks.collect())),
            ("volumes".to_owned(), Tree::Map(volumes.collect())),
        ])
    }

    fn driver(
        &self,
        driver: Option<&String>,
        options: &BTreeMap<String, String>,
    ) -> Vec<(&'static str, Tree)> {
        let mut keys = Vec::new();
        keys.extend(driver.map(|driver| ("driver", self.text(driver))));
        if !options.is_empty() {
            let options = options.iter().map(|(name, value)| (name.clone(), self.text(value)));
            keys.push(("driver_opts", Tree::Map(options.collect())));
        }
        keys
    }

    fn service(&self, service: &Service) -> Tree {
        let mut keys = vec![("image", self.text(service.image.as_str()))];
        keys.extend(service.build.as_ref().map(|build| ("build", self.build(build))));
        keys.extend(service.command.as_ref().map(|words| ("command", self.words(words))));
        keys.extend(service.entrypoint.as_ref().map(|words| ("entrypoint", self.words(words))));
        keys.extend(self.assignments("environment", &service.environment));
        if !service.ports.is_empty() {
            keys.push(("ports", Tree::List(service.ports.iter().map(|port| self.port(port)).collect())));
        }
        keys.extend(self.mounts(&service.mounts));
        keys.extend(self.networks(service));
        keys.extend(self.depends_on(service));
        keys.extend(service.healthcheck.as_ref().map(|check| ("healthcheck", self.healthcheck(check))));
        keys.extend(self.restart(service.restart));
        for (key, value) in [
            ("user", &service.user),
            ("working_dir", &service.working_dir),
            ("hostname", &service.hostname),
            ("stop_signal", &service.stop_signal),
        ] {
            keys.extend(value.as_ref().map(|value| (key, self.text(value))));
        }
        for (key, value) in [("read_only", service.read_only), ("init", service.init)] {
            if value || self.style.flip() {
                keys.push((key, self.boolean(value)));
            }
        }
        for (key, texts) in [
            ("cap_add", service.cap_add.iter().collect::<Vec<_>>()),
            ("cap_drop", service.cap_drop.iter().collect()),
            ("security_opt", service.security_opt.iter().collect()),
        ] {
            if !texts.is_empty() {
                keys.push((key, Tree::List(texts.into_iter().map(|text| self.text(text)).collect())));
            }
        }
        keys.extend(self.limits(service));
        keys.extend(service.shm_size.map(|size| ("shm_size", self.bytes(size))));
        keys.extend(self.assignments("sysctls", &service.sysctls));
        if !service.ulimits.is_empty() {
            let ulimits = service.ulimits.iter().map(|(name, limit)| {
                let tree = if limit.soft == limit.hard && self.style.flip() {
                    self.number(&limit.soft.to_string())
                } else {
                    let (soft, hard) = (limit.soft.to_string(), limit.hard.to_string());
                    map(vec![("soft", self.number(&soft)), ("hard", self.number(&hard))])
                };
                (name.clone(), tree)
            });
            keys.push(("ulimits", Tree::Map(ulimits.collect())));
        }
        if service.stop_grace_period != Duration::from_secs(10) || self.style.flip() {
            keys.push(("stop_grace_period", self.duration(service.stop_grace_period)));
        }
        keys.extend(self.assignments("labels", &service.labels));
        keys.extend(self.homeport(&service.homeport));
        if self.style.flip() {
            keys.push(("x-other", map(vec![("anything", Tree::List(vec![]))])));
        }
        if self.style.flip() {
            keys.reverse();
        }
        map(keys)
    }

    fn build(&self, build: &Build) -> Tree {
        let plain = build.dockerfile == build.context.join("Dockerfile");
        let context = self.path(&build.context);
        if plain && build.args.is_empty() && build.target.is_none() && self.style.flip() {
            return context;
        }
        let mut keys = vec![("context", context)];
        if !plain || self.style.flip() {
            let relative = build.dockerfile.strip_prefix(&build.context).ok().filter(|_| self.style.flip());
            keys.push((
                "dockerfile",
                self.text(&relative.unwrap_or(&build.dockerfile).display().to_string()),
            ));
        }
        keys.extend(self.assignments("args", &build.args));
        keys.extend(build.target.as_ref().map(|target| ("target", self.text(target))));
        map(keys)
    }

    /// A list, or one line that is split.
    fn words(&self, words: &[String]) -> Tree {
        if self.style.flip() {
            return Tree::List(words.iter().map(|word| self.text(word)).collect());
        }
        let word = |word: &String| match self.style.pick(2) {
            0 => format!("'{}'", word.replace('\'', "'\\''")),
            _ => format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")),
        };
        self.text(&words.iter().map(word).collect::<Vec<_>>().join("  "))
    }

    fn assignments(
        &self,
        key: &'static str,
        values: &BTreeMap<String, String>,
    ) -> Option<(&'static str, Tree)> {
        if values.is_empty() && self.style.flip() {
            return None;
        }
        let tree = if self.style.flip() {
            Tree::List(values.iter().map(|(name, value)| self.text(&format!("{name}={value}"))).collect())
        } else {
            Tree::Map(values.iter().map(|(name, value)| (name.clone(), self.scalar(value))).collect())
        };
        Some((key, tree))
    }

    fn port(&self, port: &Port) -> Tree {
        let protocol = match port.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        let plain = port.protocol == Protocol::Tcp;
        if self.style.flip() {
            let mut keys = vec![("target", self.number(&port.target.to_string()))];
            keys.extend(port.published.map(|published| ("published", self.number(&published.to_string()))));
            keys.extend(port.host_ip.map(|address| ("host_ip", self.text(&address.to_string()))));
            if !plain || self.style.flip() {
                keys.push(("protocol", self.text(protocol)));
            }
            return map(keys);
        }
        let address = match port.host_ip {
            Some(address) if address.is_ipv6() => format!("[{address}]:"),
            Some(address) => format!("{address}:"),
            None => String::new(),
        };
        let published = match port.published {
            Some(published) => format!("{published}:"),
            None if port.host_ip.is_some() => ":".to_owned(),
            None => String::new(),
        };
        let protocol = if plain && self.style.flip() { String::new() } else { format!("/{protocol}") };
        self.text(&format!("{address}{published}{}{protocol}", port.target))
    }

    fn mounts(&self, mounts: &[Mount]) -> Vec<(&'static str, Tree)> {
        let (mut volumes, mut tmpfs) = (Vec::new(), Vec::new());
        for mount in mounts {
            match &mount.source {
                MountSource::Tmpfs { size, mode } if self.style.flip() => {
                    let size = size.map(|size| format!("size={size}"));
                    let mode = mode.map(|mode| format!("mode={mode:o}"));
                    let read_only = mount.read_only.then(|| "ro".to_owned());
                    let options: Vec<String> = [size, mode, read_only].into_iter().flatten().collect();
                    let separator = if options.is_empty() { "" } else { ":" };
                    tmpfs.push(self.text(&format!("{}{separator}{}", mount.target, options.join(","))));
                }
                _ => volumes.push(self.volume(mount)),
            }
        }
        let mut keys = Vec::new();
        if !volumes.is_empty() {
            keys.push(("volumes", Tree::List(volumes)));
        }
        if tmpfs.len() == 1 && self.style.flip() {
            keys.extend(tmpfs.pop().map(|only| ("tmpfs", only)));
        } else if !tmpfs.is_empty() {
            keys.push(("tmpfs", Tree::List(tmpfs)));
        }
        keys
    }

    fn volume(&self, mount: &Mount) -> Tree {
        let source = match &mount.source {
            MountSource::Bind(path) => Some(path.display().to_string()),
            MountSource::Volume(name) => Some(name.to_string()),
            MountSource::Tmpfs { .. } => None,
        };
        if let Some(source) = &source
            && self.style.flip()
        {
            let mode = match (mount.read_only, self.style.flip()) {
                (true, _) => ":ro",
                (false, true) => ":rw",
                (false, false) => "",
            };
            return self.text(&format!("{source}:{}{mode}", mount.target));
        }
        let kind = match &mount.source {
            MountSource::Bind(_) => "bind",
            MountSource::Volume(_) => "volume",
            MountSource::Tmpfs { .. } => "tmpfs",
        };
        let mut keys = vec![("type", self.text(kind)), ("target", self.text(&mount.target))];
        if let MountSource::Bind(path) = &mount.source {
            keys.push(("source", self.path(path)));
        } else {
            keys.extend(source.map(|source| ("source", self.text(&source))));
        }
        if mount.read_only || self.style.flip() {
            keys.push(("read_only", self.boolean(mount.read_only)));
        }
        if let MountSource::Tmpfs { size, mode } = &mount.source {
            let mut options = Vec::new();
            options.extend(size.map(|size| ("size", self.bytes(size))));
            options.extend(mode.map(|mode| ("mode", Tree::Leaf(format!("0o{mode:o}")))));
            keys.push(("tmpfs", map(options)));
        }
        map(keys)
    }

    fn networks(&self, service: &Service) -> Option<(&'static str, Tree)> {
        let names: Vec<&str> = service.networks.keys().map(NetworkName::as_str).collect();
        let plain = service.networks.values().all(std::collections::BTreeSet::is_empty);
        if plain && names == ["default"] && self.style.flip() {
            return None;
        }
        if plain && self.style.flip() {
            return Some(("networks", Tree::List(names.into_iter().map(|name| self.text(name)).collect())));
        }
        let entries = service.networks.iter().map(|(name, aliases)| {
            let aliases = || Tree::List(aliases.iter().map(|alias| self.text(alias)).collect());
            let empty = service.networks[name].is_empty() && self.style.flip();
            let tree = if empty { Tree::Leaf(String::new()) } else { map(vec![("aliases", aliases())]) };
            (name.to_string(), tree)
        });
        Some(("networks", Tree::Map(entries.collect())))
    }

    fn depends_on(&self, service: &Service) -> Option<(&'static str, Tree)> {
        if service.depends_on.is_empty() {
            return None;
        }
        let started = service.depends_on.values().all(|condition| *condition == Condition::Started);
        let tree = if started && self.style.flip() {
            Tree::List(service.depends_on.keys().map(|name| self.text(name.as_str())).collect())
        } else {
            let entries = service.depends_on.iter().map(|(name, condition)| {
                let condition = match condition {
                    Condition::Started => "service_started",
                    Condition::Healthy => "service_healthy",
                    Condition::Completed => "service_completed_successfully",
                };
                (name.to_string(), map(vec![("condition", self.text(condition))]))
            });
            Tree::Map(entries.collect())
        };
        Some(("depends_on", tree))
    }

    fn healthcheck(&self, check: &HealthCheck) -> Tree {
        let list = |first: &str, rest: &[String]| {
            let rest = rest.iter().map(|word| self.text(word));
            Tree::List([self.text(first)].into_iter().chain(rest).collect())
        };
        let mut keys = match &check.test {
            Probe::Disabled if self.style.flip() => return map(vec![("disable", self.boolean(true))]),
            Probe::Disabled => return map(vec![("test", list("NONE", &[]))]),
            Probe::Command(words) => vec![("test", list("CMD", words))],
            Probe::Shell(script) if self.style.flip() => vec![("test", self.text(script))],
            Probe::Shell(script) => vec![("test", list("CMD-SHELL", std::slice::from_ref(script)))],
        };
        let default = Duration::from_secs(30);
        if check.interval != default || self.style.flip() {
            keys.push(("interval", self.duration(check.interval)));
        }
        if check.timeout != default || self.style.flip() {
            keys.push(("timeout", self.duration(check.timeout)));
        }
        if check.retries != 3 || self.style.flip() {
            keys.push(("retries", self.number(&check.retries.to_string())));
        }
        if !check.start_period.is_zero() || self.style.flip() {
            keys.push(("start_period", self.duration(check.start_period)));
        }
        map(keys)
    }

    fn restart(&self, restart: Restart) -> Option<(&'static str, Tree)> {
        let text = match restart {
            Restart::No if self.style.flip() => return None,
            Restart::No => "no".to_owned(),
            Restart::Always => "always".to_owned(),
            Restart::UnlessStopped => "unless-stopped".to_owned(),
            Restart::OnFailure(None) => "on-failure".to_owned(),
            Restart::OnFailure(Some(count)) => format!("on-failure:{count}"),
        };
        Some(("restart", self.text(&text)))
    }

    /// Under `deploy`, or in the older spelling.
    fn limits(&self, service: &Service) -> Vec<(&'static str, Tree)> {
        let limits = &service.limits;
        let cpus = limits.nano_cpus.map(|nano| {
            let (whole, thousandths) = (nano / 1_000_000_000, nano / 1_000_000 % 1_000);
            self.number(&format!("{whole}.{thousandths:03}"))
        });
        let pids = limits.pids.map(|pids| self.number(&pids.to_string()));
        let mut keys = Vec::new();
        if self.style.flip() {
            keys.extend(cpus.map(|cpus| ("cpus", cpus)));
            keys.extend(limits.memory.map(|memory| ("mem_limit", self.bytes(memory))));
            keys.extend(pids.map(|pids| ("pids_limit", pids)));
            keys.extend(limits.memory_reservation.map(|memory| ("mem_reservation", self.bytes(memory))));
            return keys;
        }
        // Compose takes only text here.
        let memory = |bytes: u64| self.text(&format!("{bytes}b"));
        keys.extend(cpus.map(|cpus| ("cpus", cpus)));
        keys.extend(limits.memory.map(|bytes| ("memory", memory(bytes))));
        keys.extend(pids.map(|pids| ("pids", pids)));
        let mut resources = vec![("limits", map(keys))];
        resources.extend(
            limits.memory_reservation.map(|bytes| ("reservations", map(vec![("memory", memory(bytes))]))),
        );
        vec![("deploy", map(vec![("resources", map(resources))]))]
    }

    fn homeport(&self, homeport: &Homeport) -> Option<(&'static str, Tree)> {
        if *homeport == Homeport::default() && self.style.flip() {
            return None;
        }
        let mut keys = vec![("optional", self.boolean(homeport.optional))];
        for (key, value) in [
            ("package", &homeport.package),
            ("recipe", &homeport.recipe),
            ("url_path", &homeport.url_path),
            ("ready_path", &homeport.ready_path),
            ("reload", &homeport.reload),
        ] {
            keys.extend(value.as_ref().map(|value| (key, self.text(value))));
        }
        keys.extend(homeport.max_size.map(|size| ("max_size", self.bytes(size))));
        Some(("x-homeport", map(keys)))
    }

    /// Absolute, or seen from the directory of the file.
    fn path(&self, path: &Path) -> Tree {
        let text = match path.strip_prefix(self.directory) {
            Ok(inner) if self.style.flip() => format!("./{}", inner.display()),
            _ => path.display().to_string(),
        };
        self.text(&text)
    }

    fn boolean(&self, value: bool) -> Tree {
        let words = if value { ["true", "'true'", "'yes'"] } else { ["false", "'false'", "'no'"] };
        Tree::Leaf(words[usize::from(self.style.pick(3))].to_owned())
    }

    /// A number, or the same as text.
    fn number(&self, number: &str) -> Tree {
        if self.style.flip() { Tree::Leaf(number.to_owned()) } else { Tree::Leaf(format!("\"{number}\"")) }
    }

    fn bytes(&self, bytes: u64) -> Tree {
        match self.style.pick(3) {
            0 => self.number(&bytes.to_string()),
            1 if bytes.is_multiple_of(1024) => self.text(&format!("{}k", bytes / 1024)),
            _ => self.text(&format!("{bytes}B")),
        }
    }

    fn duration(&self, duration: Duration) -> Tree {
        let (seconds, nanoseconds) = (duration.as_secs(), duration.subsec_nanos());
        let text = match self.style.pick(3) {
            0 => format!("{}ns", duration.as_nanos()),
            1 => format!("{}m{}.{nanoseconds:09}s", seconds / 60, seconds % 60),
            _ => format!("{}h{}s{nanoseconds}ns", seconds / 3600, seconds % 3600),
        };
        self.text(&text)
    }

    /// Text where a number or boolean would do too: one that looks like it may lose its quotes if it prints the same.
    fn scalar(&self, text: &str) -> Tree {
        let same = text.parse::<u32>().is_ok_and(|number| number.to_string() == text) || text == "true";
        if same && self.style.flip() { Tree::Leaf(text.to_owned()) } else { self.text(text) }
    }

    /// Text, its dollar signs doubled, in quotes unless it surely needs none.
    fn text(&self, text: &str) -> Tree {
        let text = text.replace('$', "$$");
        let plain = text.len() > 5 && text.chars().all(|c| c.is_ascii_lowercase() || "/._-".contains(c));
        let leaf = match self.style.pick(3) {
            0 if plain && text.starts_with(|c: char| c.is_ascii_lowercase()) => text,
            1 if !text.contains(['\n', '\t']) => format!("'{}'", text.replace('\'', "''")),
            _ => quoted(&text),
        };
        Tree::Leaf(leaf)
    }
}

fn map(keys: Vec<(&'static str, Tree)>) -> Tree {
    Tree::Map(keys.into_iter().map(|(key, tree)| (key.to_owned(), tree)).collect())
}
