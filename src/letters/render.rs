//! Templates to text: the overridden one where it works, else the built-in one.

use std::fmt;

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};
use serde::Serialize;

use super::{Letter, builtin};

/// Steps a template may take: an override with an endless loop ends as a broken one.
const FUEL: u64 = 5_000_000;
/// Longest subject. RFC 5322 §2.1.1 bounds a line, and folding takes care of that; this bounds what people must read.
const SUBJECT_LIMIT: usize = 900;

/// A letter, ready to be composed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// An overridden template that does not work; the built-in one was used instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateProblem {
    /// Its path below the folder of overrides.
    pub template: String,
    pub words: String,
}

impl fmt::Display for TemplateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mail template {}: {}; the built-in one is used instead", self.template, self.words)
    }
}

/// The templates of a desk.
pub struct Letters {
    builtin: Environment<'static>,
    /// The built-in ones with the overrides in their place.
    overridden: Environment<'static>,
    /// Overrides that do not even parse.
    broken: Vec<TemplateProblem>,
}

#[derive(Serialize)]
struct Framed<'a, T> {
    language: &'a str,
    #[serde(flatten)]
    context: &'a T,
}

impl Letters {
    /// `overrides`: path below the folder (`new_ticket/body.txt.j2`) and text of each file in it.
    pub fn new(overrides: impl Iterator<Item = (String, String)>) -> Letters {
        let builtin = builtin_environment();
        let mut overridden = builtin_environment();
        overridden.set_fuel(Some(FUEL));
        let mut broken = Vec::new();
        for (path, text) in overrides {
            if let Err(error) = overridden.add_template_owned(path.clone(), text) {
                broken.push(TemplateProblem { template: path, words: words_of(&error) });
            }
        }
        Letters { builtin, overridden, broken }
    }

    /// The overrides that do not parse, for `doctor` and `template list`.
    pub fn broken(&self) -> &[TemplateProblem] {
        &self.broken
    }

    /// Renders a letter. `language` is a tag such as `de` or `de-AT`; English is what remains.
    pub fn render(&self, letter: &Letter, language: &str) -> (Rendered, Option<TemplateProblem>) {
        match letter {
            Letter::NewTicket(c) => self.render_with(letter.name(), c, language),
            Letter::Reply(c) => self.render_with(letter.name(), c, language),
            Letter::Forward(c) => self.render_with(letter.name(), c, language),
            Letter::AutoAnswer(c) => self.render_with(letter.name(), c, language),
            Letter::Answer(c) => self.render_with(letter.name(), c, language),
            Letter::AgentReplyNotSent(c) => self.render_with(letter.name(), c, language),
            Letter::BounceOfAnswer(c) => self.render_with(letter.name(), c, language),
            Letter::Alert(c) => self.render_with(letter.name(), c, language),
        }
    }

    fn render_with(
        &self,
        name: &str,
        context: &impl Serialize,
        language: &str,
    ) -> (Rendered, Option<TemplateProblem>) {
        let mut problem = None;
        // The same for each file, but where their languages differ.
        let mut framed: Option<(&str, Value)> = None;
        let mut piece = |file: &str| {
            let (language, path) = self.find(name, file, language);
            let value = match &framed {
                Some((of, value)) if *of == language => value.clone(),
                _ => Value::from(Serde(Framed { language, context })),
            };
            let (text, found) = self.render_file(name, file, &path, &value);
            framed = Some((language, value));
            problem = problem.take().or(found);
            text
        };
        let (subject, text, html) = (piece("subject.txt.j2"), piece("body.txt.j2"), piece("body.html.j2"));
        (Rendered { subject: one_line(&subject), text: ended(&text), html: ended(&html) }, problem)
    }

    /// The language and path of the nearest template there is: `de-at`, `de`, then English.
    fn find<'a>(&self, name: &str, file: &str, language: &'a str) -> (&'a str, String) {
        let primary = language.split(['-', '_']).next().unwrap_or_default();
        for tag in [language, primary] {
            let path = format!("{name}/{}/{file}", tag.to_ascii_lowercase());
            let is_there = |t: &TemplateProblem| t.template == path;
            if self.overridden.get_template(&path).is_ok() || self.broken.iter().any(is_there) {
                return (tag, path);
            }
        }
        ("en", format!("{name}/{file}"))
    }

    fn render_file(
        &self,
        name: &str,
        file: &str,
        path: &str,
        value: &Value,
    ) -> (String, Option<TemplateProblem>) {
        let problem = match self.broken.iter().find(|p| p.template == path) {
            Some(problem) => problem.clone(),
            None => match render(&self.overridden, path, value) {
                Ok(text) => return (text, None),
                Err(error) => TemplateProblem { template: path.to_owned(), words: words_of(&error) },
            },
        };
        let text = render(&self.builtin, path, value)
            .or_else(|_| render(&self.builtin, &format!("{name}/{file}"), value))
            .expect("built-in templates render every context; a test renders all samples");
        (text, Some(problem))
    }
}

fn builtin_environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|name| match name.ends_with(".html.j2") {
        true => AutoEscape::Html,
        false => AutoEscape::None,
    });
    // A field that does not exist is a mistake in a template, not an empty place in a mail.
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    for (path, text) in builtin::TEMPLATES {
        environment.add_template(path, text).expect("built-in templates parse; a test renders all of them");
    }
    environment
}

fn render(environment: &Environment<'_>, path: &str, value: &Value) -> Result<String, minijinja::Error> {
    environment.get_template(path)?.render(value)
}

fn words_of(error: &minijinja::Error) -> String {
    let what = match error.kind() {
        ErrorKind::OutOfFuel => "it takes too many steps".to_owned(),
        kind => error.detail().map_or_else(|| kind.to_string(), |detail| format!("{kind}: {detail}")),
    };
    let line = error.line().map_or_else(String::new, |line| format!(" (line {line})"));
    format!("{what}{line}")
}

/// White space and control characters become single spaces: what a header field takes.
fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    line[..line.floor_char_boundary(SUBJECT_LIMIT)].to_owned()
}

fn ended(text: &str) -> String {
    format!("{}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, NewTicket};
    use super::*;

    fn plain() -> Letters {
        Letters::new(std::iter::empty())
    }

    fn with(path: &str, text: &str) -> Letters {
        Letters::new(std::iter::once((path.to_owned(), text.to_owned())))
    }

    fn new_ticket() -> Letter {
        Letter::NewTicket(NewTicket::sample())
    }

    #[test]
    fn every_letter_renders_from_its_sample() {
        for letter in Letter::samples() {
            let (rendered, problem) = plain().render(&letter, "en");
            assert_eq!(problem, None);
            let Rendered { subject, text, html } = rendered;
            insta::assert_snapshot!(letter.name(), format!("Subject: {subject}\n\n{text}\n=== html\n{html}"));
        }
    }

    #[test]
    fn words_of_a_stranger_are_words_in_html() {
        let mut letter = NewTicket::sample();
        letter.entry.body = "<script>alert(1)</script>".into();
        letter.entry.sender.shown = "<b>x</b>".into();
        let (rendered, _) = plain().render(&Letter::NewTicket(letter), "en");
        assert!(rendered.text.contains("<script>alert(1)</script>"));
        assert!(rendered.html.contains("&lt;script&gt;alert(1)"), "{}", rendered.html);
        assert!(!rendered.html.contains("<script") && !rendered.html.contains("<b>"));
    }

    #[test]
    fn a_template_in_the_words_of_a_stranger_stays_words() {
        let mut letter = NewTicket::sample();
        letter.entry.body = "{{ subject }} {% include 'x' %}".into();
        let (rendered, problem) = plain().render(&Letter::NewTicket(letter), "en");
        assert!(rendered.text.contains("{{ subject }} {% include 'x' %}") && problem.is_none());
    }

    #[test]
    fn an_override_replaces_one_file() {
        let letters = with("new_ticket/body.txt.j2", "Hey, {{ entry.sender.name }} wrote");
        let (rendered, problem) = letters.render(&new_ticket(), "en");
        assert_eq!((rendered.text.as_str(), problem), ("Hey, Ada Lovelace wrote\n", None));
        assert!(rendered.html.contains("New ticket"));
    }

    #[test]
    fn a_broken_override_is_passed_over_and_told() {
        let builtin = plain().render(&new_ticket(), "en").0;
        for (text, words) in [
            ("{% if", "syntax error"),
            ("{{ no_such_field }}", "undefined value"),
            (
                "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
                "too many steps",
            ),
            ("{% include 'gone.j2' %}", "template not found"),
        ] {
            let (rendered, problem) = with("new_ticket/body.txt.j2", text).render(&new_ticket(), "en");
            assert_eq!(rendered, builtin);
            let problem = problem.expect(text).to_string();
            assert!(problem.contains(words) && problem.contains("new_ticket/body.txt.j2"), "{problem}");
        }
    }

    #[test]
    fn a_broken_layout_breaks_only_the_override() {
        let (rendered, problem) = with("layout.html.j2", "{{ oops() }}").render(&new_ticket(), "en");
        assert_eq!(rendered, plain().render(&new_ticket(), "en").0);
        assert!(problem.is_some());
    }

    #[test]
    fn the_nearest_language_is_taken() {
        let letters = with("new_ticket/de/body.txt.j2", "Neu ({{ language }})");
        for (language, expected) in [("de", "Neu (de)\n"), ("de-AT", "Neu (de)\n")] {
            assert_eq!(letters.render(&new_ticket(), language).0.text, expected);
        }
        assert!(letters.render(&new_ticket(), "fr").0.text.starts_with("New ticket"));
        let letters = with("new_ticket/de/body.txt.j2", "{% oops");
        let (rendered, problem) = letters.render(&new_ticket(), "de");
        assert!(rendered.text.starts_with("New ticket") && problem.is_some());
    }

    #[test]
    fn a_subject_is_one_line() {
        let mut letter = NewTicket::sample();
        letter.subject = format!("a\r\nBcc: x@y.test\u{0}\u{85}b {}", "ü".repeat(1000));
        let (rendered, _) = plain().render(&Letter::NewTicket(letter), "en");
        assert!(
            rendered.subject.starts_with("a Bcc: x@y.test b ü") && rendered.subject.len() <= SUBJECT_LIMIT
        );
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let body = super::super::Body::of(&"ü".repeat(100_000), false);
        assert!(body.is_cut && body.text.len() <= 64 << 10);
        let entry = Entry { body: body.text, body_cut: true, ..Entry::sample() };
        let letter = Letter::NewTicket(NewTicket { entry, ..NewTicket::sample() });
        let (rendered, _) = plain().render(&letter, "en");
        assert!(rendered.text.contains("was cut here; `maildesk ticket show 123` shows all of it"));
        assert!(rendered.html.contains("was cut here"));
    }
}
