//! The command line. One file a command.
//!
//! Exit codes: 0 done; 1 failed; 64 the command or the configuration is wrong; 69 no Airlock runs that could be asked.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::{self, Failure};
use airlock_policy::apart;
use global::Global;

pub mod approvals;
pub mod client_setup;
pub mod config;
pub mod demo;
pub mod global;
pub mod health;
pub mod init;
pub mod key;
pub mod openapi;
pub mod policies;
pub mod policy;
pub mod recorded;
pub mod replace;
pub mod serve;
pub mod sessions;
pub mod simulate;
pub mod summary;
pub mod table;
pub mod timeline;

/// The runtime layer between an AI application and its models.
#[derive(Debug, Parser)]
#[command(name = "airlock", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run Airlock: an application sets OPENAI_BASE_URL=http://127.0.0.1:4100/v1 and changes nothing else
    Serve,
    /// Write a commented airlock.toml
    Init(init::InitArgs),
    /// Judge a configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Make and list keys for clients
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Show how to point a client at Airlock
    ClientSetup(client_setup::ClientSetupArgs),
    /// Show how the policies of the running Airlock stand
    Policies,
    /// Show how the machine, tools, models and upstreams have been doing
    Health,
    /// Make, build, test and grant policies
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Show what waits for a person, and decide it
    Approvals(approvals::ApprovalsArgs),
    /// List recorded sessions
    Sessions(sessions::SessionsArgs),
    /// Show what happened in a recorded session
    Timeline(timeline::TimelineArgs),
    /// Print the OpenAPI description of the admin API
    Openapi,
    /// See Airlock at work: agents that misbehave, and what is done about it
    Demo(demo::DemoArgs),
    /// Run a simulated model server, for trying things out
    Simulate(simulate::SimulateArgs),
    /// Judge a component from outside for another Airlock, which started this one
    #[command(name = apart::COMMAND, hide = true)]
    JudgeComponent,
}

impl Cli {
    /// Reads the command line; for help, version or a mistake in it, what to exit with.
    ///
    /// # Errors
    /// The exit code. The text has been printed.
    pub fn read() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|error| {
            let code = if error.use_stderr() {
                failure::USAGE
            } else {
                0
            };
            // Nothing is left to be told if the terminal is gone.
            let _ = error.print();
            ExitCode::from(code)
        })
    }

    /// From which level up the command logs. The demo shows what happens in its own way.
    pub fn log_level(&self) -> tracing::Level {
        match self.command {
            Command::Demo(_) => tracing::Level::ERROR,
            _ => tracing::Level::INFO,
        }
    }

    /// Does what was asked.
    ///
    /// # Errors
    /// Why not, and the exit code that goes with it.
    pub async fn run(self) -> Result<(), Failure> {
        apart::available();
        let global = &self.global;
        match self.command {
            Command::Serve => serve::run(global).await,
            Command::Init(args) => init::run(&args),
            Command::Config(command) => config::run(global, &command).await,
            Command::Key(command) => key::run(global, command).await,
            Command::ClientSetup(args) => client_setup::run(global, &args),
            Command::Policies => policies::run(global).await,
            Command::Health => health::run(global).await,
            Command::Policy(command) => policy::run(global, command).await,
            Command::Approvals(args) => approvals::run(global, args).await,
            Command::Sessions(args) => recorded::print(global, |path, json, style, out| {
                sessions::run(path, &args, json, style, out)
            }),
            Command::Timeline(args) => recorded::print(global, |path, json, style, out| {
                timeline::run(path, &args, json, style, out)
            }),
            Command::Openapi => openapi::run(),
            Command::Demo(args) => demo::run(args).await,
            Command::Simulate(args) => Ok(simulate::run(args).await?),
            Command::JudgeComponent => Ok(apart::serve(airlock_core::reason::plan::check)?),
        }
    }
}
