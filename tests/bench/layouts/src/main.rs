use std::time::Duration;
use wasmtime::component::{Component, Linker, bindgen};
use wasmtime::{Config, Engine, Store, UpdateDeadline};

bindgen!({ path: "wit", world: "layouts", additional_derives: [Clone] });
use exports::airlock::layouts::probe::*;

fn cpu() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}
fn main() {
    let mut config = Config::new();
    config.concurrency_support(false);
    config.epoch_interruption(true);
    let engine = Engine::new(&config).unwrap();
    let component = Component::from_file(&engine, std::env::args().nth(1).unwrap()).unwrap();
    let linker: Linker<()> = Linker::new(&engine);
    let mut store = Store::new(&engine, ());
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Continue(1)));
    store.set_epoch_deadline(1 << 40);
    let it = Layouts::instantiate(&mut store, &component, &linker).unwrap();
    let p = it.airlock_layouts_probe();
    let s = p.session().call_constructor(&mut store).unwrap();
    let mut row = |name: &str, f: &mut dyn FnMut(&mut Store<()>, usize)| {
        print!("{name:10}");
        for n in [1usize, 16, 50, 64] {
            let mut best = f64::MAX;
            for _ in 0..40 {
                let began = cpu();
                for _ in 0..2000 { f(&mut store, n); }
                best = best.min((cpu() - began).as_nanos() as f64 / 2000.0);
            }
            print!("{best:8.0}");
        }
        println!();
    };
    let text = |n: usize| "twenty bytes of text".repeat(n);
    row("nop", &mut |st, _| p.session().call_nop(st, s).unwrap());
    row("nop-result", &mut |st, _| drop(p.session().call_nop_result(st, s).unwrap()));
    let made: Vec<BatchNow> = [1usize, 16, 50, 64].iter().map(|n| BatchNow { checkpoint: Checkpoint::Stream, exchange: 1, first_seq: 1, time: 1, text: text(*n), text_bytes: 20 * *n as u32,
        events: (0..*n as u32).map(|i| EventNow { kind: Kind::Text, channel: Channel::Output, choice: 0, block: 0, after: i, text_end: 20 * (i + 1), offset: 20 * i, tokens: 5 }).collect(), details: vec![], matches: vec![] }).collect();
    let pick = |n: usize| match n { 1 => 0, 16 => 1, 50 => 2, _ => 3 };
    row("now", &mut |st, n| drop(p.session().call_now(st, s, &made[pick(n)]).unwrap()));
    let made: Vec<BatchRecords> = [1usize, 16, 50, 64].iter().map(|n| BatchRecords { checkpoint: Checkpoint::Stream, exchange: 1, first_seq: 1, time: 1, text: text(*n), text_bytes: 20 * *n as u32,
        events: (0..*n as u32).map(|i| Event { kind: Kind::Text, channel: Channel::Output, choice: 0, item: 0, part: 0, after: i, text_end: 20 * (i + 1), offset: 20 * i, tokens: 5 }).collect(), details: vec![], matches: vec![] }).collect();
    row("records", &mut |st, n| drop(p.session().call_records(st, s, &made[pick(n)]).unwrap().unwrap()));
    let made: Vec<BatchSlim> = [1usize, 16, 50, 64].iter().map(|n| BatchSlim { checkpoint: Checkpoint::Stream, exchange: 1, first_seq: 1, time: 1, text: text(*n), text_bytes: 20 * *n as u32,
        events: (0..*n as u32).map(|i| EventSlim { kind: 4, place: 0, text_end: 20 * (i + 1), tokens: 5 }).collect(), details: vec![], matches: vec![] }).collect();
    row("slim", &mut |st, n| drop(p.session().call_slim(st, s, &made[pick(n)]).unwrap().unwrap()));
    let made: Vec<BatchWords> = [1usize, 16, 50, 64].iter().map(|n| BatchWords { checkpoint: Checkpoint::Stream, exchange: 1, first_seq: 1, time: 1, text: text(*n), text_bytes: 20 * *n as u32,
        events: (0..*n as u32).flat_map(|i| [4, 1, 0, 0, 0, i, 20 * (i + 1), 20 * i, 5]).collect(), details: vec![], matches: vec![] }).collect();
    row("words", &mut |st, n| drop(p.session().call_words(st, s, &made[pick(n)]).unwrap().unwrap()));
    let made: Vec<BatchBlock> = [1usize, 16, 50, 64].iter().map(|n| BatchBlock { checkpoint: Checkpoint::Stream, exchange: 1, first_seq: 1, time: 1, text: text(*n), text_bytes: 20 * *n as u32,
        events: (0..*n as u32).flat_map(|i| { let mut b = vec![4u8, 1, 0, 0, 0, 0, 0, 0]; for w in [i, 20 * (i + 1), 20 * i, 5] { b.extend(w.to_le_bytes()); } b }).collect(), details: vec![], matches: vec![] }).collect();
    row("block", &mut |st, n| drop(p.session().call_block(st, s, &made[pick(n)]).unwrap().unwrap()));
    let made: Vec<BatchColumns> = [1usize, 16, 50, 64].iter().map(|n| { let n = *n as u32; BatchColumns { checkpoint: Checkpoint::Stream, exchange: 1, text: text(n as usize),
        kinds: vec![4; n as usize], places: vec![0; n as usize], after: (0..n).collect(), text_end: (0..n).map(|i| 20 * (i + 1)).collect(), offsets: (0..n).map(|i| 20 * i).collect(), tokens: vec![5; n as usize] } }).collect();
    row("columns", &mut |st, n| drop(p.session().call_columns(st, s, &made[pick(n)]).unwrap().unwrap()));
    let made: Vec<BatchStrings> = [1usize, 16, 50, 64].iter().map(|n| BatchStrings { checkpoint: Checkpoint::Stream, exchange: 1, first_seq: 1, time: 1,
        events: (0..*n).map(|_| EventStrings { kind: Kind::Text, channel: Channel::Output, text: text(1), tokens: 5 }).collect(), details: vec![], matches: vec![] }).collect();
    row("strings", &mut |st, n| drop(p.session().call_strings(st, s, &made[pick(n)]).unwrap().unwrap()));

    let words = |n: u32| (0..n).flat_map(|i| [4, 1, 0, 0, 0, i, 20 * (i + 1), 20 * i, 5]).collect::<Vec<u32>>();
    let made: Vec<BatchRare> = [1usize, 16, 50, 64].iter().map(|n| BatchRare { checkpoint: Checkpoint::Stream, exchange: 1, first_seq: 1, time: 1, text: text(*n), text_bytes: 20 * *n as u32, events: words(*n as u32), more: None }).collect();
    row("rare", &mut |st, n| drop(p.session().call_rare(st, s, &made[pick(n)]).unwrap().unwrap()));
    row("borrowed", &mut |st, n| drop(p.call_borrowed(st, s, &made[pick(n)]).unwrap().unwrap()));
    row("free", &mut |st, n| drop(p.call_free(st, 1, &made[pick(n)]).unwrap().unwrap()));
    let made: Vec<BatchOne> = [1usize, 16, 50, 64].iter().map(|n| BatchOne { text: text(*n), events: words(*n as u32), more: None }).collect();
    row("one", &mut |st, n| drop(p.session().call_one(st, s, &made[pick(n)]).unwrap().unwrap()));
    row("lean", &mut |st, n| drop(p.call_lean(st, 1, &made[pick(n)]).unwrap().unwrap()));
}
