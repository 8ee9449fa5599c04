//! Reports in JSON: Amazon SES sends them through SNS, as mail where the topic is subscribed so.

use serde_json::Value;

use super::super::{Address, Message, MessageId};
use super::{DELIVERY, Recipient, Report};

pub(super) fn read(message: &Message) -> Option<Report> {
    let is_sns = message.from.as_ref().is_some_and(|f| f.address.domain().ends_with("amazonaws.com"));
    if !is_sns || !message.text.contains("mail") {
        return None;
    }
    // Long lines are broken anywhere, with a space behind the line end.
    let json = message.text[message.text.find('{')?..].replace("\n ", "").replace('\n', "");
    let value: Value = serde_json::Deserializer::from_str(&json).into_iter().next()?.ok()?;
    let kind = value.get("notificationType").or(value.get("eventType"))?.as_str()?;
    let mut report = Report {
        reader: "Amazon SNS".into(),
        evidence: format!("notificationType: {kind}"),
        ..Report::default()
    };
    let (named, action) = match kind {
        "Bounce" => (&value["bounce"]["bouncedRecipients"], "failed"),
        "Complaint" => (&value["complaint"]["complainedRecipients"], ""),
        "Delivery" => (&value["delivery"]["recipients"], "delivered"),
        "DeliveryDelay" => (&value["deliveryDelay"]["delayedRecipients"], "delayed"),
        _ => return None,
    };
    report.kind = if kind == "Complaint" { "feedback-report" } else { DELIVERY }.into();
    report.original_message_id = id(&value["mail"]);
    report.original_subject = text(&value["mail"]["commonHeaders"]["subject"]);
    let is_soft = value["bounce"]["bounceType"] == "Transient";
    for one in named.as_array().into_iter().flatten() {
        report.push(recipient(one, action, is_soft, &text(&value["delivery"]["smtpResponse"])));
    }
    Some(report)
}

fn recipient(one: &Value, action: &str, is_soft: bool, response: &str) -> Recipient {
    let stated = super::machine::status(&text(&one["status"]));
    let diagnostic = text(&one["diagnosticCode"]);
    let diagnostic =
        diagnostic.split_once(';').map_or(diagnostic.as_str(), |(_, rest)| rest.trim()).to_owned();
    let address = one["emailAddress"].as_str().or(one.as_str()).and_then(Address::parse);
    let said = text(&one["action"]);
    Recipient {
        address,
        action: if said.is_empty() { action.to_owned() } else { said },
        status: if stated.is_empty() && is_soft { "4.0.0".into() } else { stated },
        diagnostic: if diagnostic.is_empty() { response.to_owned() } else { diagnostic },
        ..Recipient::default()
    }
}

fn id(mail: &Value) -> Option<MessageId> {
    MessageId::all_in(&text(&mail["commonHeaders"]["messageId"])).into_iter().next()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
