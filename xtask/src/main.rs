//! `cargo xtask`: reads the command line, starts the screen, hands over to the command. Decides nothing else.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use clap_complete::Shell;
use xtask::cli::{Cli, Command, Db};
use xtask::commands::{
    Context, bench, ci, cluster, db, dev, doctor, down, image, lint, logs, mutants, push, report, scan,
    status, test,
};
use xtask::failure::{Code, Failure};
use xtask::frame::{Frame, Run};
use xtask::interrupt;
use xtask::project::Project;
use xtask::stack::ServiceName;
use xtask::ui::{Settings, Terminal, print_text};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let frame = Frame::new(cli.format);
    frame.main(run(cli, frame))
}

async fn run(cli: Cli, frame: Frame) -> Result<(), Code> {
    if let Command::Completions { shell } = cli.command {
        return print_text(&completions(shell)).map_err(|_| Code::Internal);
    }
    let project = frame.checkout()?;
    if let Command::Cluster(_) = cli.command {
        return Err(frame.refuse(&cluster::hand_over().await));
    }
    let run = Run {
        name: command_name(&cli.command),
        settings: settings(&cli, frame.terminal, &project),
        is_kept: changes(&cli.command),
        only_tells: only_tells(&cli.command),
        last_words: last_words(&project, &cli.command),
    };
    frame.run(project, run, async |context| Box::pin(dispatch(context, &cli.command)).await).await
}

/// A script for a shell: the command `xtask`, which is `cargo xtask`, and its completion. Shells complete what a command
/// is called, and an alias of cargo's is no command.
fn completions(shell: Shell) -> String {
    let command = match shell {
        Shell::Fish => "function xtask; cargo xtask $argv; end",
        Shell::Elvish => "fn xtask {|@words| cargo xtask $@words }",
        Shell::PowerShell => "function xtask { cargo xtask @args }",
        _ => "xtask() { cargo xtask \"$@\"; }",
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "xtask", &mut script);
    let script = String::from_utf8_lossy(&script);
    // zsh reads the first line to know what a file is for; PowerShell wants its `using` first.
    match shell {
        Shell::Zsh | Shell::PowerShell => format!("{script}\n{command}\n"),
        _ => format!("{command}\n{script}"),
    }
}

async fn dispatch(context: &Context, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Dev(arguments) => dev::run(context, arguments).await,
        Command::Down(arguments) => down::run(context, arguments).await,
        Command::Status(arguments) => status::run(context, arguments).await,
        Command::Report(arguments) => report::run(context, arguments).await,
        Command::Logs(arguments) => logs::run(context, arguments).await,
        Command::Db(command) => db::run(context, command).await,
        Command::Test(arguments) => test::run(context, arguments).await,
        Command::Mutants(arguments) => mutants::run(context, arguments).await,
        Command::Lint(arguments) => lint::command(context, arguments).await,
        Command::Image(command) => image::run(context, command).await,
        Command::Scan(arguments) => scan::run(context, arguments).await,
        Command::Push(arguments) => push::run(context, arguments).await,
        Command::Doctor { fix, needs, offline } => doctor::command(context, *fix, needs, *offline).await,
        Command::Ci { stages, fix } => ci::run(context, stages, *fix).await,
        Command::Bench(arguments) => bench::run(context, arguments).await,
        Command::Cluster(_) | Command::Completions { .. } => Ok(()),
    }
}

/// What is told when a second Ctrl-C ends this command at once.
fn last_words(project: &Project, command: &Command) -> Failure {
    if let Command::Bench(arguments) = command {
        return bench::last_words(project, arguments);
    }
    let (left, next) = match command {
        Command::Dev(_) | Command::Down(_) => (
            "containers may run on, and the engine may still be at work on the last step",
            "`cargo xtask status` shows what runs, `cargo xtask down` takes it away; the same command goes on from here",
        ),
        Command::Test(_) | Command::Mutants(_) | Command::Ci { .. } => (
            "containers of tests, and the stack, may run on",
            "the next `cargo xtask test` removes what tests have left, `cargo xtask down` the stack",
        ),
        Command::Db(_) => (
            "Postgres may still be at work on the last step, and ends it wholly or not at all",
            "the same command goes on from here",
        ),
        _ => ("what it had begun may go on for a moment", "the same command goes on from here"),
    };
    interrupt::stopped_at_once(left, next)
}

/// How the screen shows this command.
fn settings(cli: &Cli, terminal: Terminal, project: &Project) -> Settings {
    let mut settings = Settings::new(cli.format, terminal);
    match &cli.command {
        Command::Logs(arguments) => {
            settings.data_on_stdout = true;
            settings.pretty = arguments.pretty;
            settings.hides_probes = false;
            // A Compose file that cannot be read is the command's to tell.
            let stack = project.stack_as_found().map(|(stack, ..)| stack).ok();
            let named =
                |name: &ServiceName| arguments.services.is_empty() || arguments.services.contains(name);
            settings.services = (stack.iter().flat_map(|stack| stack.services.keys()))
                .filter(|name| named(name))
                .map(ToString::to_string)
                .collect();
            settings.log_names = arguments.services.len() != 1 || terminal.stdout_is_terminal;
        }
        Command::Status(_) | Command::Doctor { .. } => settings.data_on_stdout = true,
        _ => {}
    }
    settings
}

/// Whether a command does nothing but tell.
fn only_tells(command: &Command) -> bool {
    matches!(
        command,
        Command::Logs(_)
            | Command::Status(_)
            | Command::Report(_)
            | Command::Doctor { fix: false, .. }
            | Command::Db(Db::List)
    )
}

/// Whether a command changes something, so that what it did is worth keeping.
fn changes(command: &Command) -> bool {
    if let Command::Db(command) = command {
        return !matches!(command, Db::List | Db::Psql { .. });
    }
    matches!(
        command,
        Command::Dev(_)
            | Command::Down(_)
            | Command::Test(_)
            | Command::Mutants(_)
            | Command::Ci { .. }
            | Command::Image(_)
            | Command::Push(_)
    )
}

fn command_name(command: &Command) -> &'static str {
    match command {
        Command::Dev(_) => "dev",
        Command::Down(_) => "down",
        Command::Status(_) => "status",
        Command::Report(_) => "report",
        Command::Logs(_) => "logs",
        Command::Db(_) => "db",
        Command::Test(_) => "test",
        Command::Mutants(_) => "mutants",
        Command::Lint(_) => "lint",
        Command::Image(_) => "image",
        Command::Push(_) => "push",
        Command::Scan(_) => "scan",
        Command::Doctor { .. } => "doctor",
        Command::Ci { .. } => "ci",
        Command::Bench(_) => "bench",
        Command::Cluster(_) => "cluster",
        Command::Completions { .. } => "completions",
    }
}
