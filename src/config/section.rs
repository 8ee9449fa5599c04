//! One definition of a section: its keys, their defaults and their manual text, which is the doc comment of the field.
//!
//! The reader of the file, the flags of commands, `config example` and `config show` all come from it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::seal::Secret;

/// A section of the file, as data.
pub trait Section: Default + Serialize {
    const ABOUT: &'static [&'static str];
    const KEYS: &'static [Key];
}

#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub manual: &'static [&'static str],
    pub shown: Shown,
}

/// How the example file shows a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// With its default, commented out.
    Default,
    /// Must be given: with this value.
    Required(&'static str),
    /// Usually given: with this value.
    Live(&'static str),
    /// With this value, commented out.
    Example(&'static str),
}

/// Something wrong with a key of a section; the caller knows where the section stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub key: &'static str,
    pub words: String,
}

impl Wrong {
    pub fn new(key: &'static str, words: impl Into<String>) -> Wrong {
        Wrong { key, words: words.into() }
    }
}

/// A secret in the file. It prints and serializes as `***`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Password(pub Option<Secret>);

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Password, D::Error> {
        // The error of `String` would print a password written without quotes.
        let words = String::deserialize(deserializer)
            .map_err(|_| serde::de::Error::custom("must be text in quotes; better: give its _file twin"))?;
        Ok(Password((!words.is_empty()).then(|| Secret::new(words))))
    }
}

impl Serialize for Password {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_some() { "***" } else { "" })
    }
}

/// `Name { /// manual \n key: Type = default; }` with `, required "toml"`, `, live "toml"` or `, example "toml"` before
/// the semicolon; `Name with Flags` also makes the flags of a command; `secret { … }` holds keys that are never flags.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $section:ident with $flags:ident { $($body:tt)* } $($rest:tt)*
    ) => {
        $crate::config::section::section! { $(#[doc = $about])+ $section { $($body)* } $($rest)* }
        $crate::config::section::section! { @flags $section $flags { $($body)* } }
    };
    (
        $(#[doc = $about:literal])+
        $section:ident {
            $( $(#[doc = $doc:literal])+ $key:ident : $type:ty = $default:expr $(, $mark:ident $example:literal)? ; )*
        }
        $(secret { $(
            $(#[doc = $secret_doc:literal])+ $secret:ident : $secret_type:ty $(, $secret_mark:ident $secret_example:literal)? ;
        )* })?
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $section {
            $( $(#[doc = $doc])+ pub $key: $type, )*
            $($( $(#[doc = $secret_doc])+ pub $secret: $secret_type, )*)?
        }

        impl Default for $section {
            fn default() -> $section {
                $section {
                    $( $key: $default, )*
                    $($( $secret: Default::default(), )*)?
                }
            }
        }

        impl $crate::config::section::Section for $section {
            const ABOUT: &'static [&'static str] = &[$($about),+];
            const KEYS: &'static [$crate::config::section::Key] = &[
                $( $crate::config::section::section!(@key $key, [$($doc),+] $(, $mark $example)?), )*
                $($( $crate::config::section::section!(@key $secret, [$($secret_doc),+] $(, $secret_mark $secret_example)?), )*)?
            ];
        }
    };
    (@flags $section:ident $flags:ident {
        $( $(#[doc = $doc:literal])+ $key:ident : $type:ty = $default:expr $(, $mark:ident $example:literal)? ; )*
    }) => {
        #[doc = concat!("The keys of `", stringify!($section), "` as flags of a command.")]
        #[derive(Clone, Debug, Default, clap::Args)]
        pub struct $flags {
            $( $(#[doc = $doc])+ #[arg(long)] pub $key: Option<$type>, )*
        }

        impl $flags {
            /// Lays what was given over a section.
            pub fn overlay(self, section: &mut $section) {
                $( if let Some(value) = self.$key { section.$key = value; } )*
            }
        }
    };
    (@key $key:ident, [$($doc:literal),+] $(, $mark:ident $example:literal)?) => {
        $crate::config::section::Key {
            name: stringify!($key),
            manual: &[$($doc),+],
            shown: $crate::config::section::section!(@shown $($mark $example)?),
        }
    };
    (@shown) => { $crate::config::section::Shown::Default };
    (@shown required $example:literal) => { $crate::config::section::Shown::Required($example) };
    (@shown live $example:literal) => { $crate::config::section::Shown::Live($example) };
    (@shown example $example:literal) => { $crate::config::section::Shown::Example($example) };
}
pub(crate) use section;
