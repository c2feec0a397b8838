//! Pictures and sound that stand in text as data URLs: no model wrote them token by token, and none is counted as if.

/// Shorter ones cost less to count than to find.
const MIN_BYTES: usize = 1024;

const MARK: &str = ";base64,";

/// The text in parts, without the data of long data URLs.
pub fn without(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let (part, after) = cut(text);
        rest = after;
        Some(part)
    })
}

/// The text up to the data of its first long data URL, and what follows that.
fn cut(text: &str) -> (&str, Option<&str>) {
    let mut from = 0;
    while text.len() - from >= MIN_BYTES {
        let Some(at) = text.get(from..).and_then(|rest| rest.find(MARK)) else {
            break;
        };
        let start = from + at + MARK.len();
        let data = text.get(start..).unwrap_or_default();
        let is_data =
            |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_');
        let len = data.bytes().take_while(|b| is_data(b)).count();
        if len >= MIN_BYTES && heads(text.get(..start).unwrap_or_default()) {
            return (
                text.get(..start).unwrap_or_default(),
                text.get(start + len..),
            );
        }
        from = start + len;
    }
    (text, None)
}

/// Whether it ends as a data URL begins: `data:image/png;base64,`.
fn heads(text: &str) -> bool {
    /// More than any type of media with its parameters.
    const LONGEST: usize = 128;
    let tail = text.len().saturating_sub(LONGEST);
    let tail = (tail..text.len()).find_map(|at| text.get(at..));
    tail.and_then(|tail| tail.rsplit_once("data:"))
        .is_some_and(|(_, kind)| kind.contains('/') && !kind.contains(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_of_a_long_data_url_is_left_out_and_nothing_else() {
        let data = "A".repeat(5000);
        let text = format!(
            "before ![x](data:image/png;base64,{data}==) between {data} data:a/b;base64,{data}"
        );
        let parts: Vec<&str> = without(&text).collect();
        let between = format!(") between {data} data:a/b;base64,");
        let expected = ["before ![x](data:image/png;base64,", &between, ""];
        assert_eq!(parts, expected);
        for whole in ["", "plain", "data:image/png;base64,AAAA", &data] {
            assert_eq!(without(whole).collect::<Vec<_>>(), [whole]);
        }
        let unheaded = format!("ünheaded;base64,{data}");
        assert_eq!(without(&unheaded).collect::<Vec<_>>(), [unheaded.as_str()]);
    }
}
