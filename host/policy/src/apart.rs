//! What came from outside is judged first in a process of its own: a component of a few kilobytes can make the compiler
//! work for minutes in gigabytes, or a check of settings go on for ever, and neither can be interrupted in a thread.
//!
//! The child is this very program. It takes the candidate through all steps of loading, under limits of the operating
//! system on memory and processor time, without the environment and its secrets. Only what it took is loaded here, with
//! the code that it left in the runtime's own cache. The parent kills it by its handle when it is late.
//!
//! Where there is no such program (Airlock as a library), loading is as before: in a thread, unbounded.

use std::fs::File;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::candidate::Candidate;
use super::engine::Engine;
use super::error::{LoadError, Stage};
use super::generation::Generation;
use super::limits::Limits;
use super::load::Loader;
use super::spec::{Grants, PolicySpec};
use crate::contract::types;

/// The hidden subcommand under which the program judges.
pub const COMMAND: &str = "judge-component";

/// Longest answer that is read: a refusal has a few lines.
const ANSWER_BYTES: u64 = 64 << 10;

/// Bytes of a reason that a child gives.
const REASON_BYTES: usize = 8 << 10;

/// Between two looks at the child.
const LOOK: Duration = Duration::from_millis(5);

/// What runs: the path of an open file of it where there is one.
static PROGRAM: OnceLock<Program> = OnceLock::new();

struct Program {
    path: PathBuf,
    /// Keeps the path good.
    _open: Option<File>,
}

/// Called once by the `airlock` program: it knows [`COMMAND`], so children of it can judge.
pub fn available() {
    // The file may be replaced while it runs: an open one stays what it is. The kernel's link itself would do, but where a
    // tool such as valgrind runs the program, it leads to the tool.
    let program = match File::open("/proc/self/exe") {
        Ok(open) => Some(Program {
            path: format!("/proc/self/fd/{}", open.as_raw_fd()).into(),
            _open: Some(open),
        }),
        Err(_) => std::env::current_exe()
            .ok()
            .map(|path| Program { path, _open: None }),
    };
    if let Some(program) = program {
        // A second call says the same.
        let _ = PROGRAM.set(program);
    }
}

/// What the child is told before the component's bytes.
#[derive(Serialize, Deserialize)]
struct Task {
    name: String,
    spec: PolicySpec,
    limits: Limits,
    default_grants: Grants,
    cache_dir: Option<PathBuf>,
}

/// What the child answers: nothing wrong, or the step that refused.
#[derive(Serialize, Deserialize)]
struct Answer {
    refused: Option<(Stage, String, bool)>,
}

/// Whether candidates from outside are judged apart.
pub(super) fn is_available() -> bool {
    PROGRAM.get().is_some()
}

/// Takes a candidate through all steps: what came from outside first in a process of its own, so that what it costs
/// is bounded. `predecessor`: the generation that it would replace.
pub(super) fn load(
    loader: &Loader,
    candidate: &Candidate,
    number: u32,
    predecessor: Option<&Arc<Generation>>,
) -> Result<Generation, LoadError> {
    if !candidate.builtin {
        judge(loader, candidate)?;
    }
    loader.load(candidate, number, predecessor)
}

/// Takes a candidate through all steps of loading in a child, and waits for it as long as the limits allow.
fn judge(loader: &Loader, candidate: &Candidate) -> Result<(), LoadError> {
    let Some(program) = PROGRAM.get() else {
        return Ok(());
    };
    let failed = |what: &str, error: io::Error| {
        LoadError::new(
            Stage::Compile,
            format!("cannot judge it in a process of its own: {what}: {error}"),
        )
    };
    let task = Task {
        name: candidate.name.to_string(),
        spec: candidate.spec.clone(),
        limits: loader.limits.clone(),
        default_grants: loader.default_grants.clone(),
        cache_dir: loader.cache_dir.clone(),
    };
    let mut head = serde_json::to_vec(&task).map_err(|e| failed("its settings", e.into()))?;
    head.push(b'\n');
    let mut child = Command::new(&program.path)
        .arg(COMMAND)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| failed("it does not start", e))?;
    let deadline = Instant::now() + Duration::from_secs(loader.limits.compile_seconds.into());
    if let Some(mut input) = child.stdin.take() {
        // A child that ended early says why by the way it ended.
        let _ = input
            .write_all(&head)
            .and_then(|()| input.write_all(&candidate.bytes));
    }
    let status = wait(&mut child, deadline).map_err(|e| failed("it cannot be waited for", e))?;
    let mut said = String::new();
    if let Some(output) = child.stdout.take() {
        // What is missing or cut does not decode.
        let _ = output.take(ANSWER_BYTES).read_to_string(&mut said);
    }
    let limits = &loader.limits;
    match (status, serde_json::from_str::<Answer>(&said)) {
        (None, _) => Err(late(limits)),
        (Some(_), Ok(Answer { refused: None })) => Ok(()),
        (
            Some(_),
            Ok(Answer {
                refused: Some((stage, reason, truncated)),
            }),
        ) => Err(LoadError {
            truncated,
            ..LoadError::new(stage, reason)
        }),
        (Some(status), Err(_)) => Err(died(status, limits)),
    }
}

/// The child's end; `None`: it was late and is killed.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

fn late(limits: &Limits) -> LoadError {
    LoadError::new(
        Stage::Compile,
        format!(
            "it was not compiled and judged within {} s (`limits.compile_seconds`): make it or its settings schema simpler, \
             or raise the limit if you trust it",
            limits.compile_seconds
        ),
    )
}

fn died(status: ExitStatus, limits: &Limits) -> LoadError {
    use std::os::unix::process::ExitStatusExt as _;
    if status.signal() == Some(rustix::process::Signal::XCPU.as_raw()) {
        return late(limits);
    }
    LoadError::new(
        Stage::Compile,
        format!(
            "the process that compiled and judged it ended with {status}: it probably needs more than {} MiB \
             (`limits.compile_mib`): make it simpler, or raise the limit if you trust it",
            limits.compile_mib
        ),
    )
}

/// The child's side: reads the candidate from standard input, and answers on standard output.
///
/// # Errors
/// It cannot read its task, or cannot answer.
pub fn serve(check: fn(&types::Subscription) -> Result<(), String>) -> anyhow::Result<()> {
    // Without its parent nobody waits for the answer.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let mut input = io::stdin().lock();
    let mut head = Vec::new();
    input.read_until(b'\n', &mut head)?;
    let task: Task = serde_json::from_slice(&head)?;
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes)?;
    confine(&task.limits)?;
    let answer = Answer {
        refused: take_through(task, bytes, check)
            .err()
            .map(|error| (error.stage, shortened(error.reason), error.truncated)),
    };
    let mut output = io::stdout().lock();
    serde_json::to_writer(&mut output, &answer)?;
    output.flush()?;
    Ok(())
}

fn take_through(
    mut task: Task,
    bytes: Vec<u8>,
    check: fn(&types::Subscription) -> Result<(), String>,
) -> Result<(), LoadError> {
    // The code is the same for a pool of any number of instances.
    task.limits.instances = task.limits.instances.min(8);
    let engine = Engine::new(&task.limits, task.cache_dir.as_deref())
        .map_err(|e| LoadError::new(Stage::Compile, format!("{e:#}")))?;
    let loader = Loader {
        engine,
        limits: task.limits,
        default_grants: task.default_grants,
        check,
        cache_dir: task.cache_dir,
    };
    let candidate = Candidate::new(&task.name, task.spec, false, bytes.into());
    loader.load(&candidate, 1, None).map(drop)
}

/// What a guest says of itself is part of a reason: an answer must fit the pipe, or the child would wait for a reader.
fn shortened(mut reason: String) -> String {
    let end = reason.floor_char_boundary(REASON_BYTES);
    reason.truncate(end);
    reason
}

/// Bounds what this process may use. Address space is not bounded, since the pool reserves much of it; what is written
/// to is.
fn confine(limits: &Limits) -> io::Result<()> {
    let most = |n: u64| Rlimit {
        current: Some(n),
        maximum: Some(n),
    };
    setrlimit(
        Resource::Data,
        most(u64::from(limits.compile_mib).saturating_mul(1 << 20)),
    )?;
    setrlimit(Resource::Cpu, most(limits.compile_seconds.into()))?;
    // Memory of a process that ran out of it is nobody's business, and gigabytes of it nobody's disk's.
    setrlimit(Resource::Core, most(0))?;
    Ok(())
}
