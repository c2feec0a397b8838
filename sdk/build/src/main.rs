//! `airlock-build <out> <target> <crate>...`: makes components of policies' crates.
//!
//! Builds the first-party policies, before the host that carries them. Everyone else uses `airlock policy build`.

use std::{env, path::PathBuf, time::Instant};

use airlock_build::{Options, build};
use anyhow::{Result, bail};

fn main() -> Result<()> {
    let mut args = env::args_os().skip(1).map(PathBuf::from);
    let (Some(out), Some(target)) = (args.next(), args.next()) else {
        bail!("usage: airlock-build <out> <target> <crate>...");
    };
    let started = Instant::now();
    for built in build(&Options {
        crates: args.collect(),
        out,
        target,
        locked: true,
    })? {
        eprintln!(
            "{:>12} {} ({}, {} KiB, {} golden cases){}",
            "Component",
            built.path.display(),
            built.world,
            built.bytes.div_ceil(1024),
            built.golden,
            if built.changed { "" } else { ", unchanged" },
        );
    }
    eprintln!(
        "{:>12} policies in {:.1} s",
        "Built",
        started.elapsed().as_secs_f32()
    );
    Ok(())
}
