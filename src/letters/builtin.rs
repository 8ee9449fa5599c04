//! The built-in templates, by their path below `templates/mail`.

macro_rules! templates {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../templates/mail/", $path)))),+]
    };
}

pub const TEMPLATES: &[(&str, &str)] = templates![
    "layout.html.j2",
    "parts.html.j2",
    "parts.txt.j2",
    "new_ticket/subject.txt.j2",
    "new_ticket/body.txt.j2",
    "new_ticket/body.html.j2",
    "reply/subject.txt.j2",
    "reply/body.txt.j2",
    "reply/body.html.j2",
    "forward/subject.txt.j2",
    "forward/body.txt.j2",
    "forward/body.html.j2",
    "auto_answer/subject.txt.j2",
    "auto_answer/body.txt.j2",
    "auto_answer/body.html.j2",
    "answer/subject.txt.j2",
    "answer/body.txt.j2",
    "answer/body.html.j2",
    "agent_reply_not_sent/subject.txt.j2",
    "agent_reply_not_sent/body.txt.j2",
    "agent_reply_not_sent/body.html.j2",
    "bounce_of_answer/subject.txt.j2",
    "bounce_of_answer/body.txt.j2",
    "bounce_of_answer/body.html.j2",
    "alert/subject.txt.j2",
    "alert/body.txt.j2",
    "alert/body.html.j2",
];
