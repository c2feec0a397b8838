//! Schemas: the API's own, a part of OpenAPI 3.0 whose types are in capitals, as JSON Schema.

use serde_json::{Map, Value, json};

use crate::dialect::gemini::fields::camel;

/// Fields that JSON Schema has too, with values that are no schemas.
const PLAIN: [&str; 17] = [
    "title",
    "description",
    "format",
    "enum",
    "required",
    "default",
    "example",
    "pattern",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minProperties",
    "maxProperties",
    "additionalProperties",
];

/// Of these, numbers that JSON of protocol buffers may write as strings.
const COUNTS: [&str; 6] = [
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minProperties",
    "maxProperties",
];

/// A schema of the API as JSON Schema.
///
/// # Errors
/// The field that has no counterpart.
pub(super) fn to_json_schema(schema: &Value) -> Result<Value, String> {
    let Value::Object(fields) = schema else {
        return Err("schema".to_owned());
    };
    let (mut out, mut nullable) = (Map::new(), false);
    for (name, value) in fields {
        let name = camel(name).unwrap_or_else(|| name.clone());
        if value.is_null() {
            continue;
        }
        match name.as_str() {
            "type" => {
                let word = value.as_str().ok_or("type")?;
                if word != "TYPE_UNSPECIFIED" {
                    out.insert(name, json!(word.to_ascii_lowercase()));
                }
            }
            "nullable" => nullable = value == true,
            "items" => drop(out.insert(name, to_json_schema(value)?)),
            "anyOf" => {
                let list = value.as_array().ok_or("anyOf")?;
                let list: Result<Value, String> = list.iter().map(to_json_schema).collect();
                out.insert(name, list?);
            }
            "properties" => {
                let properties = value.as_object().ok_or("properties")?;
                let inner =
                    |(key, value): (&String, &Value)| Ok((key.clone(), to_json_schema(value)?));
                let properties: Result<Map<String, Value>, String> =
                    properties.iter().map(inner).collect();
                out.insert(name, Value::Object(properties?));
            }
            // The order in which the model writes properties: JSON Schema has it by their order alone.
            "propertyOrdering" => {}
            "example" => drop(out.insert("examples".to_owned(), json!([value]))),
            known if COUNTS.contains(&known) => {
                let count = value.as_str().and_then(|text| text.parse::<u64>().ok());
                out.insert(
                    name,
                    count.map_or_else(|| value.clone(), |count| json!(count)),
                );
            }
            known if PLAIN.contains(&known) => drop(out.insert(name, value.clone())),
            _ => return Err(name),
        }
    }
    if nullable {
        if let Some(kind) = out.get_mut("type") {
            *kind = json!([kind, "null"]);
        }
        if let Some(Value::Array(values)) = out.get_mut("enum") {
            values.push(Value::Null);
        }
        if let Some(Value::Array(schemas)) = out.get_mut("anyOf") {
            schemas.push(json!({"type": "null"}));
        }
    }
    Ok(Value::Object(out))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn types_are_spelled_as_json_schema_has_them_and_nothing_is_lost() {
        let own = json!({"type": "OBJECT", "required": ["type"], "propertyOrdering": ["type", "n"], "properties": {
            "type": {"type": "STRING", "enum": ["A"], "nullable": true, "description": "the TYPE"},
            "n": {"type": "ARRAY", "min_items": "2", "items": {"anyOf": [{"type": "INTEGER", "format": "int32"}]}},
        }});
        let schema = json!({"type": "object", "required": ["type"], "properties": {
            "type": {"type": ["string", "null"], "enum": ["A", null], "description": "the TYPE"},
            "n": {"type": "array", "minItems": 2, "items": {"anyOf": [{"type": "integer", "format": "int32"}]}},
        }});
        assert_eq!(to_json_schema(&own).unwrap(), schema);
        assert_eq!(
            to_json_schema(&json!({"type": "OBJECT", "unheardOf": 1})),
            Err("unheardOf".to_owned())
        );
        assert!(to_json_schema(&json!({"items": []})).is_err());
    }
}
