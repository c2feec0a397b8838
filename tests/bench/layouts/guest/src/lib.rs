wit_bindgen::generate!({ path: "../wit", world: "layouts" });
use exports::airlock::layouts::probe::*;
use std::cell::Cell;
struct C;
struct S { tokens: Cell<u32>, found: Cell<u32> }
impl S {
    fn look(&self, kind: u32, text: &str, tokens: u32) {
        if kind == 4 {
            self.tokens.set(self.tokens.get() + tokens);
            if text.contains("loop") { self.found.set(self.found.get() + 1); }
        }
    }
    fn done(&self) -> Result<Assessment, String> { Ok(Assessment { findings: vec![], release: vec![], pending: vec![] }) }
}
thread_local! { static SS: S = S { tokens: Cell::new(0), found: Cell::new(0) }; }
fn go(s: &S, text: &str, events: &[u32]) { let mut from = 0;
        for e in events.chunks_exact(9) { let t = &text[from as usize..e[6] as usize]; from = e[6]; s.look(e[0], t, e[8]); } }
impl Guest for C { type Session = S;
    fn free(_s: u32, b: BatchRare) -> Result<Assessment, String> { SS.with(|s| { go(s, &b.text, &b.events); s.done() }) }
    fn lean(_s: u32, b: BatchOne) -> Result<(), String> { SS.with(|s| { go(s, &b.text, &b.events); Ok(()) }) }
    fn borrowed(s: SessionBorrow<'_>, b: BatchRare) -> Result<Assessment, String> { let s: &S = s.get(); go(s, &b.text, &b.events); s.done() }
}
impl GuestSession for S {
    fn new() -> Self { S { tokens: Cell::new(0), found: Cell::new(0) } }
    fn nop(&self) {}
    fn nop_result(&self) -> Result<Assessment, String> { self.done() }
    fn now(&self, b: BatchNow) -> Assessment {
        let mut from = 0;
        for e in &b.events { let t = &b.text[from as usize..e.text_end as usize]; from = e.text_end; self.look(e.kind as u32, t, e.tokens); }
        self.done().unwrap()
    }
    fn records(&self, b: BatchRecords) -> Result<Assessment, String> {
        let mut from = 0;
        for e in &b.events { let t = &b.text[from as usize..e.text_end as usize]; from = e.text_end; self.look(e.kind as u32, t, e.tokens); }
        self.done()
    }
    fn slim(&self, b: BatchSlim) -> Result<Assessment, String> {
        let mut from = 0;
        for e in &b.events { let t = &b.text[from as usize..e.text_end as usize]; from = e.text_end; self.look(e.kind, t, e.tokens); }
        self.done()
    }
    fn words(&self, b: BatchWords) -> Result<Assessment, String> {
        let mut from = 0;
        for e in b.events.chunks_exact(9) { let t = &b.text[from as usize..e[6] as usize]; from = e[6]; self.look(e[0], t, e[8]); }
        self.done()
    }
    fn rare(&self, b: BatchRare) -> Result<Assessment, String> { go(self, &b.text, &b.events); self.done() }
    fn one(&self, b: BatchOne) -> Result<Assessment, String> { go(self, &b.text, &b.events); self.done() }
    fn block(&self, b: BatchBlock) -> Result<Assessment, String> {
        let mut from = 0;
        for e in b.events.chunks_exact(24) {
            let end = u32::from_le_bytes([e[12], e[13], e[14], e[15]]);
            let tokens = u32::from_le_bytes([e[20], e[21], e[22], e[23]]);
            let t = &b.text[from as usize..end as usize]; from = end; self.look(e[0] as u32, t, tokens); }
        self.done()
    }
    fn columns(&self, b: BatchColumns) -> Result<Assessment, String> {
        let mut from = 0;
        for ((k, end), tokens) in b.kinds.iter().zip(&b.text_end).zip(&b.tokens) { let t = &b.text[from as usize..*end as usize]; from = *end; self.look(*k as u32, t, *tokens); }
        self.done()
    }
    fn strings(&self, b: BatchStrings) -> Result<Assessment, String> {
        for e in &b.events { self.look(e.kind as u32, &e.text, e.tokens); }
        self.done()
    }
}
export!(C);
