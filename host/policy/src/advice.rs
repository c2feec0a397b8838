//! Turns what the parser says into what a person can act on.

/// Names under which people write a key down, that are not ours.
const KEY_WORDS: [&str; 8] = [
    "api_key",
    "apikey",
    "api-key",
    "token",
    "secret",
    "password",
    "bearer",
    "authorization",
];

/// "unknown x `nme`: did you mean `name`?", or what there is.
pub fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let written_so = KEY_WORDS.contains(&name.to_ascii_lowercase().as_str());
    if written_so && known.contains(&"key") {
        return format!(
            "unknown {what} `{name}`: name the key by reference, key = \"env:NAME\" or key = \"file:/path\""
        );
    }
    match closest(name, &known) {
        Some(near) => format!("unknown {what} `{name}`: did you mean `{near}`?"),
        None if known.is_empty() => format!("unknown {what} `{name}`: there is none"),
        None => format!("unknown {what} `{name}`: there is {}", known.join(", ")),
    }
}

/// The known name that `name` probably meant.
fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let score = |k: &str| strsim::jaro_winkler(&name.to_ascii_lowercase(), &k.to_ascii_lowercase());
    let (near, score) = known
        .iter()
        .map(|k| (*k, score(k)))
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    // 0.8 takes transpositions and lost letters, and does not take `foo` for `file`.
    (score > 0.8).then_some(near)
}

/// serde's words in ours. What it does not know stays as it is.
pub fn improve(message: &str) -> String {
    let message = message.trim();
    let ticked: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if let (true, Some((name, known))) =
        (message.starts_with("unknown field"), ticked.split_first())
    {
        return unknown("key", name, known.iter().copied());
    }
    if let (true, Some((name, known))) =
        (message.starts_with("unknown variant"), ticked.split_first())
    {
        return unknown("word", name, known.iter().copied());
    }
    if let (true, Some(name)) = (message.starts_with("missing field"), ticked.first()) {
        return format!("`{name}` is missing: add {name} = ...");
    }
    if message.contains("socket address") {
        return "this is no address to listen on: write it like \"127.0.0.1:4100\"".to_owned();
    }
    if let Some((found, expected)) = message.split_once(", expected ") {
        let found = found
            .trim_start_matches("invalid type: ")
            .trim_start_matches("invalid value: ");
        return format!(
            "{} does not fit here: write {}",
            kind_of(found),
            plain(expected)
        );
    }
    message.to_owned()
}

/// The kind of what was found, without its value, which may be a secret in the wrong place.
fn kind_of(found: &str) -> String {
    match found.split_whitespace().next() {
        Some("string") => "text".to_owned(),
        Some("integer") => format!(
            "the number {}",
            found.trim_start_matches("integer").trim().trim_matches('`')
        ),
        Some("floating") => "a number with a fraction".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("sequence") => "a list".to_owned(),
        Some("map") => "a table".to_owned(),
        _ => found.to_owned(),
    }
}

fn plain(expected: &str) -> &str {
    match expected {
        "u16" | "u32" | "u64" | "usize" => "a whole number from 0",
        "i32" | "i64" => "a whole number",
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "a string" | "path string" => "text in quotes",
        "a sequence" => "a list in [ ]",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}
