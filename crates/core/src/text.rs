//! One macro for every type that travels as its text: what is written is its `Display`, what is read is parsed as the type's
//! own grammar, and a text outside of it is refused in the words of that grammar. Tests: those of the types.

/// Makes types with `Display` and `FromStr` read and write as their text.
macro_rules! text_json {
    ($($name:ident)*) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize<'de>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

pub(crate) use text_json;
