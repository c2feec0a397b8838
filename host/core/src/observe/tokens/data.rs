//! Pictures and sound that stand in text as data URLs: nobody wrote them token by token, and none is counted as if.

/// What begins the data of a data URL.
const MARK: &[u8] = b";base64,";

/// Bytes of data that count as the text that they are. Short ones are cheaper to count than to doubt, and who writes the mark
/// before everything else gains nothing.
const TEXT: usize = 256;

/// Finds data in text that arrives in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Runs {
    /// Bytes of the mark that were seen.
    marked: usize,
    /// Bytes of the data that were seen; `None` outside.
    within: Option<usize>,
}

impl Runs {
    /// Length of the first part of `text`, at least 1, and whether it is data that is not counted as text.
    pub(super) fn next(&mut self, text: &str) -> (usize, bool) {
        let bytes = text.as_bytes();
        let Some(seen) = self.within else {
            let mut at = 0;
            while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
                if self.marked == 0 {
                    // Almost all text has none: it is passed over at the speed of memory.
                    match memchr::memchr(b';', rest) {
                        Some(found) => at += found,
                        None => break,
                    }
                }
                self.marked = match bytes.get(at) {
                    Some(byte) if MARK.get(self.marked) == Some(byte) => self.marked + 1,
                    Some(b';') => 1,
                    _ => 0,
                };
                at += 1;
                if self.marked == MARK.len() {
                    (self.marked, self.within) = (0, Some(0));
                    return (at, false);
                }
            }
            return (bytes.len(), false);
        };
        let is_data =
            |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_');
        let run = bytes.iter().take_while(|b| is_data(b)).count();
        if run == 0 {
            self.within = None;
            return self.next(text);
        }
        let text = TEXT.saturating_sub(seen).min(run);
        let (len, is_data) = if text > 0 { (text, false) } else { (run, true) };
        self.within = Some(seen + len);
        (len, is_data)
    }
}

/// Tokens that so many bytes of data stand for, roughly: vendors bill pictures by their size in pixels and sound by its
/// length, some hundred tokens to two thousand for what is some hundred KiB.
pub(super) fn tokens(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of text and of data.
    fn weigh(pieces: &[&str]) -> (usize, usize) {
        let (mut runs, mut text, mut data) = (Runs::default(), 0, 0);
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let (len, is_data) = runs.next(rest);
                *(if is_data { &mut data } else { &mut text }) += len;
                rest = &rest[len..];
            }
        }
        (text, data)
    }

    #[test]
    fn data_is_found_however_it_is_cut_and_what_follows_is_text() {
        let url = format!("![x](data:image/png;base64,{}) and on", "A".repeat(5000));
        let expected = (url.len() - 5000 + TEXT, 5000 - TEXT);
        assert_eq!(weigh(&[&url]), expected);
        for cut in 0..60 {
            let (a, b) = url.split_at(cut);
            assert_eq!(weigh(&[a, b]), expected, "cut at {cut}");
        }
        let pieces: Vec<&str> = (0..url.len()).map(|at| &url[at..=at]).collect();
        assert_eq!(weigh(&pieces), expected);
    }

    #[test]
    fn text_that_only_looks_like_it_is_text() {
        for text in [
            "",
            "a;b;;base64",
            ";base64 ,AAAA",
            "ü;base64,ü",
            &"A".repeat(9000),
        ] {
            assert_eq!(weigh(&[text]), (text.len(), 0), "{text}");
        }
        // The mark before each word gains nothing.
        let words = ";base64,word ".repeat(1000);
        assert_eq!(weigh(&[&words]), (words.len(), 0));
    }
}
