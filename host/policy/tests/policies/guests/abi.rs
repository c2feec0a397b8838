//! Values of the contract's types, as the canonical ABI lays them out in memory.

use serde_json::Value;
use wit_parser::{Resolve, SizeAlign, Type, TypeDefKind};

/// The memory of a guest at its beginning.
pub(super) struct Data {
    pub(super) bytes: Vec<u8>,
}

impl Data {
    /// Puts bytes at an aligned address and returns it.
    pub(super) fn put(&mut self, bytes: &[u8]) -> u32 {
        while !self.bytes.len().is_multiple_of(8) {
            self.bytes.push(0);
        }
        let at = u32::try_from(self.bytes.len()).unwrap();
        self.bytes.extend_from_slice(bytes);
        at
    }

    pub(super) fn pair(&mut self, text: &str) -> [u32; 2] {
        [
            self.put(text.as_bytes()),
            u32::try_from(text.len()).unwrap(),
        ]
    }

    pub(super) fn words(&mut self, words: &[u32]) -> u32 {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        self.put(&bytes)
    }
}

/// Puts values of the contract's types where the canonical ABI has them.
pub(super) struct Abi<'a> {
    pub(super) resolve: &'a Resolve,
    pub(super) sizes: SizeAlign,
}

impl Abi<'_> {
    /// A result that is a value of a named type; its address. All such types are aligned to a word.
    pub(super) fn put(&self, data: &mut Data, name: &str, value: &Value) -> u32 {
        let (id, _) = self
            .resolve
            .types
            .iter()
            .find(|(_, t)| {
                t.name.as_deref() == Some(name) && !matches!(t.kind, TypeDefKind::Type(_))
            })
            .unwrap_or_else(|| panic!("there is no type {name}"));
        assert_eq!(self.sizes.align(&Type::Id(id)).align_wasm32(), 4);
        let mut bytes = vec![0; 4];
        bytes.extend(self.bytes(data, &Type::Id(id), value));
        data.put(&bytes)
    }

    fn bytes(&self, data: &mut Data, ty: &Type, value: &Value) -> Vec<u8> {
        let int = || {
            value
                .as_u64()
                .unwrap_or_else(|| panic!("no number: {value}"))
        };
        match ty {
            Type::Bool => vec![u8::from(value.as_bool().unwrap())],
            Type::U8 => vec![u8::try_from(int()).unwrap()],
            Type::U16 => u16::try_from(int()).unwrap().to_le_bytes().to_vec(),
            Type::U32 => u32::try_from(int()).unwrap().to_le_bytes().to_vec(),
            Type::U64 => int().to_le_bytes().to_vec(),
            #[allow(clippy::cast_possible_truncation, reason = "tests state short numbers")]
            Type::F32 => (value.as_f64().unwrap() as f32).to_le_bytes().to_vec(),
            Type::F64 => value.as_f64().unwrap().to_le_bytes().to_vec(),
            Type::String => {
                let text = value
                    .as_str()
                    .unwrap_or_else(|| panic!("no string: {value}"));
                data.pair(text)
                    .iter()
                    .flat_map(|w| w.to_le_bytes())
                    .collect()
            }
            Type::Id(id) => self.defined(data, ty, &self.resolve.types[*id].kind, value),
            other => panic!("{other:?} is not in the contract"),
        }
    }

    fn defined(&self, data: &mut Data, ty: &Type, kind: &TypeDefKind, value: &Value) -> Vec<u8> {
        let mut out = vec![0; self.sizes.size(ty).size_wasm32()];
        let mut place =
            |at: usize, bytes: Vec<u8>| out[at..at + bytes.len()].copy_from_slice(&bytes);
        match kind {
            TypeDefKind::Type(inner) => return self.bytes(data, inner, value),
            TypeDefKind::Enum(e) => {
                let index = e
                    .cases
                    .iter()
                    .position(|c| Some(c.name.as_str()) == value.as_str());
                place(
                    0,
                    vec![u8::try_from(index.unwrap_or_else(|| panic!("{value}"))).unwrap()],
                );
            }
            TypeDefKind::Record(record) => {
                let fields = self
                    .sizes
                    .field_offsets(record.fields.iter().map(|f| &f.ty));
                for (field, (offset, ty)) in record.fields.iter().zip(fields) {
                    place(
                        offset.size_wasm32(),
                        self.bytes(data, ty, &value[&field.name]),
                    );
                }
                for name in value.as_object().unwrap().keys() {
                    assert!(
                        record.fields.iter().any(|f| f.name == *name),
                        "no field {name}"
                    );
                }
            }
            TypeDefKind::Tuple(tuple) => {
                for (i, (offset, ty)) in self
                    .sizes
                    .field_offsets(tuple.types.iter())
                    .into_iter()
                    .enumerate()
                {
                    place(offset.size_wasm32(), self.bytes(data, ty, &value[i]));
                }
            }
            TypeDefKind::List(element) => {
                // An absent list is an empty one.
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                let bytes: Vec<u8> = items
                    .iter()
                    .flat_map(|item| self.bytes(data, element, item))
                    .collect();
                let (at, len) = (data.put(&bytes), u32::try_from(items.len()).unwrap());
                place(0, [at.to_le_bytes(), len.to_le_bytes()].concat());
            }
            TypeDefKind::Variant(variant) => {
                let (name, payload) = match value {
                    Value::Object(case) => {
                        case.iter().next().map(|(k, v)| (k.as_str(), v)).unwrap()
                    }
                    bare => (bare.as_str().unwrap(), &Value::Null),
                };
                let index = variant.cases.iter().position(|c| c.name == name);
                let index = index.unwrap_or_else(|| panic!("no case {name}"));
                place(0, vec![u8::try_from(index).unwrap()]);
                if let Some(ty) = &variant.cases[index].ty {
                    let cases = variant.cases.iter().map(|c| c.ty.as_ref());
                    let offset = self.sizes.payload_offset(variant.tag(), cases);
                    place(offset.size_wasm32(), self.bytes(data, ty, payload));
                }
            }
            other => panic!("{other:?} is not needed"),
        }
        out
    }
}
