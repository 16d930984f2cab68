//! What can be wrong with a value of a request, and where: the error type of [`super::deserialize`].

use std::fmt;

use serde::de;

use super::suggest::{shortened, suggestion};

/// Where the values come from, which decides how they are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The JSON body.
    Body,
    /// The query string.
    Query,
}

/// A fault of a request, and the path of the value that has it.
#[derive(Debug)]
pub(super) struct Fault {
    /// From the outermost field to the value.
    path: Vec<Step>,
    kind: Kind,
}

/// A step of a path.
#[derive(Debug)]
pub(super) enum Step {
    /// Into a field of an object.
    Field(String),
    /// Into an item of a list.
    Item(usize),
}

/// Kinds of faults.
#[derive(Debug)]
enum Kind {
    /// The value has another type.
    WrongType(&'static str),
    /// A number outside of its range, or something else that the type does not hold.
    OutOfRange,
    UnknownField {
        field: String,
        known: &'static [&'static str],
    },
    Missing(&'static str),
    Repeated(&'static str),
    /// None of a closed set of words.
    UnknownWord {
        word: String,
        known: &'static [&'static str],
    },
    /// What a type of this project says of a text that it does not take.
    Rejected(String),
}

impl Fault {
    fn new(kind: Kind) -> Self {
        Self { path: Vec::new(), kind }
    }

    /// The value is not of this type, named with its article.
    pub(super) fn wrong_type(wanted: &'static str) -> Self {
        Self::new(Kind::WrongType(wanted))
    }

    /// The object has a field that its type does not know.
    pub(super) fn unknown(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownField { field: field.to_owned(), known })
    }

    /// The same fault, seen from one step further out.
    pub(super) fn below(mut self, step: Step) -> Self {
        self.path.insert(0, step);
        self
    }

    /// What the caller is answered.
    pub(super) fn sentence(&self, source: Source) -> String {
        let path = self.path();
        let name = |field: &str| match path.as_str() {
            "" => format!("`{field}`"),
            path => format!("`{path}.{field}`"),
        };
        let value = match (path.as_str(), source) {
            ("", Source::Body) => "the body".to_owned(),
            ("", Source::Query) => "the query".to_owned(),
            (path, _) => format!("{path}:"),
        };
        match &self.kind {
            Kind::WrongType(wanted) => match (path.as_str(), *wanted) {
                ("", "an object") => format!("{value} must be a JSON object"),
                (_, wanted) => format!("{value} must be {wanted}"),
            },
            Kind::OutOfRange => format!("{value} out of range"),
            Kind::UnknownField { field, known } => {
                let name = name(&shortened(field));
                format!("unknown field {name}; {}", suggestion(field, known))
            }
            Kind::Missing(field) => format!("{} is missing", name(field)),
            Kind::Repeated(field) => format!("{} is there twice", name(field)),
            Kind::UnknownWord { word, known } => {
                format!("{value} unknown value `{}`; {}", shortened(word), suggestion(word, known))
            }
            Kind::Rejected(why) => format!("{value} {why}"),
        }
    }

    /// As `viewers[0].id`.
    fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Field(field) if path.is_empty() => path.push_str(&shortened(field)),
                Step::Field(field) => path.extend([".", &shortened(field)]),
                Step::Item(index) => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence(Source::Body))
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self::new(Kind::Rejected(why.to_string()))
    }

    fn invalid_type(_: de::Unexpected<'_>, _: &dyn de::Expected) -> Self {
        Self::wrong_type("of another type")
    }

    fn invalid_value(_: de::Unexpected<'_>, _: &dyn de::Expected) -> Self {
        Self::new(Kind::OutOfRange)
    }

    fn invalid_length(_: usize, _: &dyn de::Expected) -> Self {
        Self::wrong_type("of another length")
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownWord { word: word.to_owned(), known })
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::unknown(field, known)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Kind::Missing(field))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(Kind::Repeated(field))
    }
}
