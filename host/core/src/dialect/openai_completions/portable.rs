//! Requests as other APIs can be asked the same: one prompt, as what a user says, and nothing that a conversation does not
//! have. The other way there is none.

use serde_json::Value;

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::openai_completions::request::{
    LIMIT, Prompts, boolean, limit, prompts, root, string, suffix, utf8,
};
use crate::dialect::portable::{Part, Said};
use crate::dialect::{NotPortable, Portable, Undecodable};
use crate::event::Role;

fn unreadable(error: Undecodable) -> NotPortable {
    NotPortable::field(error.place, error.what)
}

pub(super) fn read(body: &[u8]) -> Result<Portable, NotPortable> {
    let root = utf8(body).and_then(root).map_err(unreadable)?;
    let prompts = prompts(&root).map_err(unreadable)?;
    let [prompt] = (match &prompts {
        Prompts::Texts(texts) => texts.as_slice(),
        Prompts::Tokens(_) => &[],
    }) else {
        let why = "other APIs take one conversation, and it in text";
        return Err(NotPortable::field("prompt", why));
    };
    if suffix(&root).map_err(unreadable)?.is_some() {
        return Err(NotPortable::field("suffix", "no conversation has it"));
    }
    let text = json::string(*prompt).unwrap_or_default().into_owned();
    let mut portable = Portable {
        model: string(&root, "model")
            .map_err(unreadable)?
            .unwrap_or_default()
            .into_owned(),
        streamed: boolean(&root, "stream").map_err(unreadable)?,
        choices: 1,
        turns: vec![Said {
            role: Role::User,
            parts: vec![Part::Text(text)],
        }],
        max_output_tokens: limit(&root)
            .map_err(unreadable)?
            .filter(|&limit| limit < u32::MAX),
        ..Portable::default()
    };
    for (key, value) in &root.0 {
        if !json::is_null(*value) {
            field(&root, key.as_str(), *value, &mut portable)?;
        }
    }
    Ok(portable)
}

/// A field that is not null.
fn field(
    root: &Object<'_>,
    name: &str,
    value: Raw<'_>,
    portable: &mut Portable,
) -> Result<(), NotPortable> {
    let refuse = |why: &str| Err(NotPortable::field(name, why));
    let sampling = &mut portable.sampling;
    let number = match name {
        // Of the options of a stream none changes what is said in it.
        "model" | "stream" | "prompt" | "suffix" | LIMIT | "stream_options" => return Ok(()),
        "temperature" => &mut sampling.temperature,
        "top_p" => &mut sampling.top_p,
        "top_k" => &mut sampling.top_k,
        "seed" => &mut sampling.seed,
        "presence_penalty" => &mut sampling.presence_penalty,
        "frequency_penalty" => &mut sampling.frequency_penalty,
        "n" => {
            let n = json::integer(value).and_then(|n| u16::try_from(n).ok());
            let Some(n) = n else {
                return refuse("it is not a number of choices");
            };
            portable.choices = n;
            return Ok(());
        }
        "stop" => {
            portable.stop = match serde_json::from_str(value.get()) {
                Ok(Value::String(text)) => vec![text],
                Ok(Value::Array(texts)) if texts.iter().all(Value::is_string) => texts
                    .iter()
                    .filter_map(|text| text.as_str().map(str::to_owned))
                    .collect(),
                _ => return refuse("it is neither a text nor a list of texts"),
            };
            return Ok(());
        }
        "user" => {
            let user = string(root, name).map_err(unreadable)?;
            portable.end_user = user.map(|user| user.into_owned());
            return Ok(());
        }
        "metadata" | "prompt_cache_key" | "session_id" | "litellm_session_id" => {
            portable.left.push(name.to_owned());
            return Ok(());
        }
        // What they are where nothing is said.
        "echo" if value.get() == "false" => return Ok(()),
        "best_of" if value.get() == "1" => return Ok(()),
        "logit_bias" if value.get() == "{}" => return Ok(()),
        _ => return refuse("leave it out"),
    };
    let stated = serde_json::from_str(value.get());
    *number = Some(stated.map_err(|error| NotPortable::field(name, error.to_string()))?);
    Ok(())
}
