//! The `airlock` program.

use std::process::ExitCode;

use tokio::runtime::Runtime;

use airlock::cli::Cli;

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    airlock::render::log::start(cli.log_level());
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            airlock::render::terminal::tell(&format!(
                "airlock: cannot start its threads: {error}\n"
            ));
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(cli.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    };
    // What matters is on the disk. A policy that is still being compiled is not waited for.
    runtime.shutdown_background();
    code
}
