//! JSON in the WIT's names to a type that derives `Deserialize` under Rust's.

use serde::{
    Deserializer,
    de::{
        DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
        VariantAccess, Visitor,
    },
    forward_to_deserialize_any,
};
use serde_json::{Error, Value};

use super::kebab;

/// A value, or the place of one that was left out.
#[derive(Clone, Copy)]
pub(super) struct Node<'a>(pub(super) Option<&'a Value>);

/// Forwards a primitive to serde_json, or gives its zero.
macro_rules! primitives {
    ($($method:ident => $visit:ident($($zero:expr)?)),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0 {
                Some(value) => value.$method(visitor),
                None => visitor.$visit($($zero)?),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = Error;

    primitives! {
        deserialize_any => visit_unit(),
        deserialize_bool => visit_bool(false),
        deserialize_u8 => visit_u8(0),
        deserialize_u16 => visit_u16(0),
        deserialize_u32 => visit_u32(0),
        deserialize_u64 => visit_u64(0),
        deserialize_i32 => visit_i32(0),
        deserialize_i64 => visit_i64(0),
        deserialize_f32 => visit_f32(0.0),
        deserialize_f64 => visit_f64(0.0),
        deserialize_str => visit_str(""),
        deserialize_string => visit_str(""),
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            None | Some(Value::Null) => visitor.visit_none(),
            Some(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            None => visitor.visit_seq(Items {
                items: &[],
                missing: 0,
            }),
            Some(Value::Array(items)) => visitor.visit_seq(Items { items, missing: 0 }),
            Some(other) => other.deserialize_seq(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            None => visitor.visit_seq(Items {
                items: &[],
                missing: len,
            }),
            Some(Value::Array(items)) if items.len() == len => {
                visitor.visit_seq(Items { items, missing: 0 })
            }
            Some(other) => Err(Error::custom(format!(
                "expected an array of {len} values, found {other}"
            ))),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let object = match self.0 {
            None => None,
            Some(Value::Object(object)) => Some(object),
            Some(other) => {
                return Err(Error::custom(format!(
                    "expected a record {name}, found {other}"
                )));
            }
        };
        let known = |key: &str| fields.iter().any(|field| kebab(field) == key);
        if let Some(stranger) = object.and_then(|object| object.keys().find(|key| !known(key))) {
            let known = fields
                .iter()
                .map(|field| kebab(field))
                .collect::<Vec<_>>()
                .join(", ");
            return Err(Error::custom(format!(
                "{name} has no field `{stranger}`; it has {known}"
            )));
        }
        visitor.visit_map(Fields {
            object,
            fields,
            value: Node(None),
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (wanted, value) = match self.0 {
            None => (None, None),
            Some(Value::String(case)) => (Some(case), None),
            Some(Value::Object(object)) if object.len() == 1 => object
                .iter()
                .next()
                .map_or((None, None), |(case, value)| (Some(case), Some(value))),
            Some(other) => {
                return Err(Error::custom(format!(
                    "expected a case of {name}, found {other}"
                )));
            }
        };
        let found = match wanted {
            None => variants.first(),
            Some(wanted) => variants.iter().find(|variant| kebab(variant) == *wanted),
        };
        let Some(variant) = found else {
            let known = variants
                .iter()
                .map(|variant| kebab(variant))
                .collect::<Vec<_>>()
                .join(", ");
            return Err(Error::custom(format!(
                "{name} has no case `{}`; it has {known}",
                wanted.map_or("", |w| w)
            )));
        };
        visitor.visit_enum(Case {
            variant,
            value: Node(value),
        })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u128 char bytes byte_buf unit unit_struct tuple_struct map identifier ignored_any
    }
}

/// The items of an array, or `missing` items of a tuple that was left out.
struct Items<'a> {
    items: &'a [Value],
    missing: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if let Some((first, rest)) = self.items.split_first() {
            self.items = rest;
            return seed.deserialize(Node(Some(first))).map(Some);
        }
        if self.missing == 0 {
            return Ok(None);
        }
        self.missing -= 1;
        seed.deserialize(Node(None)).map(Some)
    }
}

/// All fields of a record, whether the object has them or not.
struct Fields<'a> {
    object: Option<&'a serde_json::Map<String, Value>>,
    fields: &'static [&'static str],
    value: Node<'a>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((field, rest)) = self.fields.split_first() else {
            return Ok(None);
        };
        self.fields = rest;
        self.value = Node(self.object.and_then(|object| object.get(&kebab(field))));
        seed.deserialize((*field).into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.value)
    }
}

/// The case of a variant, under its Rust name, with its value.
struct Case<'a> {
    variant: &'static str,
    value: Node<'a>,
}

impl<'de> EnumAccess<'de> for Case<'de> {
    type Error = Error;
    type Variant = Node<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Node<'de>), Error> {
        Ok((
            seed.deserialize(self.variant.into_deserializer())?,
            self.value,
        ))
    }
}

impl<'de> VariantAccess<'de> for Node<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.0 {
            None => Ok(()),
            Some(value) => Err(Error::custom(format!(
                "a case without a value is given {value}"
            ))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_struct("case", fields, visitor)
    }
}
