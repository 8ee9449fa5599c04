//! The rules that decisions are made by, as a snapshot of the settings.

use maildesk::config::Role;
use maildesk::store::Store;
use maildesk::triage::Flow;

use super::world::{CONFIG, address, declared, key, lay_down, stamp};

on_both!(rules_are_what_is_active, a_type_without_a_relay_has_the_first_active_one);

async fn rules_are_what_is_active(store: &Store) {
    let laid = lay_down(store).await;
    let key = key();
    let mut tx = store.write().await.unwrap();
    let mut bounces = declared(&CONFIG).types[0].clone();
    (bounces.name, bounces.tag, bounces.flow) = ("Bounces".into(), "Bounces".into(), Flow::Bounce);
    bounces.patterns = vec!["*@b.example.com".into(), "bounce+x@example.com".into()];
    (bounces.mailbox, bounces.relay, bounces.address) =
        (String::new(), String::new(), address("bounce@example.com"));
    let bounces_id = tx.create_type(&bounces, &stamp(&key)).await.unwrap();
    let rules = tx.load_rules().await.unwrap();
    assert_eq!(rules.types.iter().map(|t| t.id).collect::<Vec<_>>(), [laid.support, bounces_id]);
    assert_eq!(rules.types[0].patterns, ["support@example.com", "help-*@example.com"], "in their order");
    assert_eq!((rules.types[0].mailbox, rules.types[0].relay), (Some(laid.mailbox), Some(laid.relay)));
    assert_eq!(rules.types[0].admin, Some(address("admin@example.net")));
    assert_eq!((rules.bounce_local.as_str(), rules.bounce_domain.as_str()), ("bounce", "example.com"));
    assert_eq!(rules.mailboxes[0].username, "support");
    assert_eq!(rules.relays[0].sender, address("support@example.com"));
    let team: Vec<&str> = rules.accounts.iter().map(|(a, _)| a.as_str()).collect();
    assert_eq!(team, ["agent@example.com", "agent@home.example"]);
    bounces.is_active = false;
    tx.update_type(bounces_id, 1, &bounces).await.unwrap();
    let mut agent = declared(&CONFIG).accounts[0].clone();
    agent.role = Role::ReadOnly;
    tx.update_account(laid.agent, 1, &agent).await.unwrap();
    let rules = tx.load_rules().await.unwrap();
    assert_eq!((rules.types.len(), rules.bounce_domain.as_str()), (1, ""));
    assert!(rules.accounts.is_empty(), "who may only read is not the team");
}

async fn a_type_without_a_relay_has_the_first_active_one(store: &Store) {
    let laid = lay_down(store).await;
    let mut tx = store.write().await.unwrap();
    let mut support = declared(&CONFIG).types[0].clone();
    support.relay = String::new();
    tx.update_type(laid.support, 1, &support).await.unwrap();
    assert_eq!(tx.load_rules().await.unwrap().types[0].relay, Some(laid.relay));
    let mut out = declared(&CONFIG).relays[0].0.clone();
    out.is_active = false;
    let (key, keep) = (key(), maildesk::store::PasswordChange::Keep);
    tx.update_relay(laid.relay, 1, &out, (&keep, &stamp(&key))).await.unwrap();
    let rules = tx.load_rules().await.unwrap();
    assert_eq!((rules.types[0].relay, rules.relays.len()), (None, 0));
}
