//! What is measured: each a process of its own, with its configuration and data in a folder of its own, ended by its id.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use anyhow::{Context as _, bail};

/// The kernel's unit of CPU time for programs, on every architecture that Airlock runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processors' share of nginx: as many workers as Airlock has threads.
fn processors() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

/// A server under load; ends with this value.
pub struct Server {
    /// Its name in the report.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    process: Option<Child>,
    /// The processes of a peer, which this value does not end.
    others: Vec<u32>,
    /// How it is asked to end, where a kill would leave its children behind.
    stop: Option<Command>,
}

impl Server {
    /// No proxy: the upstream itself.
    pub fn direct(upstream: SocketAddr) -> Server {
        Server {
            name: "direct".to_owned(),
            address: upstream,
            process: None,
            others: Vec::new(),
            stop: None,
        }
    }

    /// A proxy that somebody else started.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn peer(name: &str, address: SocketAddr) -> anyhow::Result<Server> {
        TcpStream::connect(address)
            .with_context(|| format!("{name} does not listen on {address}"))?;
        let others = listeners(address.port());
        if others.is_empty() {
            eprintln!(
                "{name}: no process of this user listens on {address}; its CPU and memory are not measured"
            );
        }
        Ok(Server {
            name: name.to_owned(),
            address,
            process: None,
            others,
            stop: None,
        })
    }

    /// nginx as a plain reverse proxy that does not buffer.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn nginx(folder: &Path, upstream: SocketAddr) -> anyhow::Result<Server> {
        let (folder, address) = (fresh(&folder.join("nginx"))?, free_address()?);
        let config = format!(
            "daemon off;\nworker_processes {};\npid nginx.pid;\nerror_log stderr crit;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n  access_log off;\n  tcp_nodelay on;\n  keepalive_requests 1000000;\n  client_body_buffer_size 4m; client_max_body_size 0;\n\
             client_body_temp_path body;\n  proxy_temp_path proxy;\n  fastcgi_temp_path fastcgi;\n  uwsgi_temp_path uwsgi;\n  scgi_temp_path scgi;\n\
             upstream model {{ server {upstream}; keepalive 128; keepalive_requests 1000000; }}\n\
             server {{\n    listen {address};\n    location / {{\n      proxy_pass http://model;\n      proxy_http_version 1.1;\n\
             proxy_set_header Connection \"\";\n      proxy_buffering off;\n    }}\n  }}\n}}\n",
            processors(),
        );
        fs::write(folder.join("nginx.conf"), config)?;
        let command = || {
            let mut command = Command::new("nginx");
            command
                .arg("-p")
                .arg(&folder)
                .args(["-c", "nginx.conf", "-e", "stderr"]);
            command
        };
        let mut stop = command();
        stop.args(["-s", "stop"]);
        start("nginx", command(), address, Some(stop))
    }

    /// Airlock with these sections in its configuration, and these components in its policy directory.
    ///
    /// # Errors
    /// It was not built, or does not start.
    pub fn airlock(
        name: &str,
        folder: &Path,
        upstream: SocketAddr,
        sections: &str,
        policies: &[(String, PathBuf)],
    ) -> anyhow::Result<Server> {
        let folder = fresh(&folder.join(name.replace(' ', "-")))?;
        let binary = env::current_exe()?.with_file_name("airlock");
        let (config, address) = configure(&folder, upstream, sections, policies)?;
        start(name, serve(Command::new(binary), &config), address, None)
    }

    /// The same under callgrind, which counts nothing until it is told to, and writes files that begin with `out`.
    ///
    /// # Errors
    /// It was not built, or does not start.
    pub fn counted(
        folder: &Path,
        binary: &Path,
        upstream: SocketAddr,
        (sections, policies): (&str, &[(String, PathBuf)]),
        out: &Path,
    ) -> anyhow::Result<Server> {
        let folder = fresh(&folder.join("counted"))?;
        let (config, address) = configure(&folder, upstream, sections, policies)?;
        let mut command = Command::new("valgrind");
        command
            .args([
                "--tool=callgrind",
                "--instr-atstart=no",
                "--separate-threads=yes",
                "-q",
            ])
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(binary.canonicalize().with_context(|| {
                format!(
                    "{} is missing: run `make bench-instructions`",
                    binary.display()
                )
            })?);
        start(
            "airlock under callgrind",
            serve(command, &config),
            address,
            None,
        )
    }

    /// Its process, if there is one.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// CPU time used so far, seconds; 0 without a process.
    pub fn cpu(&self) -> f64 {
        self.processes().iter().filter_map(|pid| cpu(*pid)).sum()
    }

    /// Memory in use, KiB; pages that its processes share are counted for each.
    pub fn rss_kib(&self) -> u64 {
        self.processes()
            .iter()
            .filter_map(|pid| rss_kib(*pid))
            .sum()
    }

    fn processes(&self) -> Vec<u32> {
        let Some(pid) = self.process.as_ref().map(Child::id) else {
            return self.others.clone();
        };
        let children =
            fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let children = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok());
        std::iter::once(pid).chain(children).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(process) = &mut self.process else {
            return;
        };
        let asked = self
            .stop
            .as_mut()
            .is_some_and(|stop| stop.status().is_ok_and(|status| status.success()));
        if !asked && let Err(error) = process.kill() {
            eprintln!(
                "cannot end {} (process {}): {error}",
                self.name,
                process.id()
            );
        }
        // It has been told to end; there is nobody to tell that it did not.
        let _ = process.wait();
    }
}

/// Writes a configuration and puts components into a policy directory; where it will listen.
fn configure(
    folder: &Path,
    upstream: SocketAddr,
    sections: &str,
    policies: &[(String, PathBuf)],
) -> anyhow::Result<(PathBuf, SocketAddr)> {
    let (address, admin) = (free_address()?, free_address()?);
    fs::create_dir(folder.join("policies"))?;
    for (name, component) in policies {
        fs::copy(
            component,
            folder.join("policies").join(format!("{name}.wasm")),
        )
        .with_context(|| format!("cannot copy {}: run `make bench`", component.display()))?;
        let own = component.file_stem().unwrap_or_default().display();
        fs::write(
            folder.join("policies").join(format!("{name}.toml")),
            format!("component = \"{own}\"\n"),
        )?;
    }
    let config = folder.join("airlock.toml");
    fs::write(
        &config,
        format!(
            "[gateway]\nlisten = \"{address}\"\n[admin]\nlisten = \"{admin}\"\n[data]\ndir = \"data\"\n\
             [upstream.bench]\nbase_url = \"http://{upstream}/v1\"\n{sections}"
        ),
    )?;
    Ok((config, address))
}

fn serve(mut command: Command, config: &Path) -> Command {
    command
        .arg("--config")
        .arg(config)
        .arg("serve")
        .args(["--output", "json"])
        .env("AIRLOCK_LOG", "error");
    command
}

fn start(
    name: &str,
    mut command: Command,
    address: SocketAddr,
    stop: Option<Command>,
) -> anyhow::Result<Server> {
    let program = command.get_program().to_owned();
    let process = command
        .stdout(Stdio::null())
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let mut server = Server {
        name: name.to_owned(),
        address,
        process: Some(process),
        others: Vec::new(),
        stop,
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_err() {
        let ended = server
            .process
            .as_mut()
            .and_then(|process| process.try_wait().ok()?);
        if let Some(status) = ended {
            bail!("{name} ended: {status}");
        }
        if Instant::now() > deadline {
            bail!("{name} does not listen on {address}");
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(server)
}

/// An address that was free a moment ago.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// An empty folder, absolute.
pub fn fresh(folder: &Path) -> anyhow::Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder.canonicalize()?)
}

/// Processes that listen on this port: those that hold one of its sockets, by number.
fn listeners(port: u16) -> Vec<u32> {
    const LISTEN: &str = "0A";
    let mut sockets = Vec::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let table = fs::read_to_string(file).unwrap_or_default();
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(state), Some(inode)) =
                (fields.get(1), fields.get(3), fields.get(9))
            else {
                continue;
            };
            if *state == LISTEN && local.ends_with(&format!(":{port:04X}")) {
                sockets.push(format!("socket:[{inode}]"));
            }
        }
    }
    let holds = |pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd"));
        files.into_iter().flatten().flatten().any(|file| {
            fs::read_link(file.path()).is_ok_and(|target| {
                sockets
                    .iter()
                    .any(|socket| target.as_os_str() == socket.as_str())
            })
        })
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    pids.filter(holds).collect()
}

fn cpu(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name may hold anything, but is in brackets; user and system time are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|n| n.parse::<f64>().ok())
        .sum();
    Some(ticks / TICKS_PER_SECOND)
}

/// Memory of a process in use, KiB.
pub fn rss_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
