//! The closed list of reason codes (M7): stable names that journal, screens, metrics and `explain` share.

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($variant:ident $name:literal $words:literal),+ $(,)?) => {
        /// Why a message became what it became.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code { $(#[doc = $words] #[serde(rename = $name)] $variant),+ }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$variant),+];

            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name),+ }
            }

            /// The reason in words, for people.
            pub fn words(self) -> &'static str {
                match self { $(Code::$variant => $words),+ }
            }

            pub fn parse(name: &str) -> Option<Code> {
                match name { $($name => Some(Code::$variant),)+ _ => None }
            }
        }
    };
}

codes! {
    // open
    NewTicket "new_ticket" "addressed to an active type and answers nothing we know",
    FollowUp "follow_up" "answers an ended ticket whose type opens a follow-up ticket",
    ListOpened "list_opened" "mailing-list mail, and its type opens tickets for it",
    // append
    ReplyByOurId "reply_by_our_id" "answers a message of ours",
    ReplyByOurIdNotTag "reply_by_our_id_not_tag" "answers a message of ours; its tag line names another ticket and loses",
    ReplyByTag "reply_by_tag" "the tag line names the ticket, and the sender belongs to it",
    ReplyByForeignId "reply_by_foreign_id" "answers a message that is already an entry, and the sender belongs to its ticket",
    ReplyByPredecessorTag "reply_by_predecessor_tag" "the tag of the system before this one names the ticket, and the sender belongs to it",
    AgentReplyNotSent "agent_reply_not_sent" "an agent's reply to a notification, kept as an internal note and not sent on",
    AutoReplyNoted "auto_reply_noted" "an automatic answer, noted on its ticket",
    ListNoted "list_noted" "mailing-list mail that answers a ticket, noted on it",
    AcceptedByAdmin "accepted_by_admin" "an admin has put it onto the ticket",
    ReassignedByAdmin "reassigned_by_admin" "an admin has made it a ticket of a type",
    // bounce
    BounceByVerp "bounce_by_verp" "a delivery report to the return path of a mail of ours",
    BounceByOurId "bounce_by_our_id" "a delivery report about a Message-ID of ours",
    BounceByTag "bounce_by_tag" "a delivery report whose returned subject bears a tag line of ours",
    BounceUnmatched "bounce_unmatched" "a delivery report about nothing that we know",
    BounceUnattributed "bounce_unattributed" "a delivery report about a mail of ours that names none of its recipients",
    Complaint "complaint" "a complaint about a mail of ours",
    // invalid
    SpamVerdict "spam_verdict" "a mail server in front has marked it as spam",
    VirusFound "virus_found" "the virus scanner has found something in it",
    NotScanned "not_scanned" "too big for the virus scanner, and nothing unscanned is taken",
    TrustFailed "trust_failed" "its sender is not who it says: DMARC fails, and his domain asks for more than to let it pass",
    TrustUnproven "trust_unproven" "its sender is not proven, and `[trust] neutral` has such mail set aside",
    NoType "no_type" "no recipient is an address of an active type",
    ForeignMailbox "foreign_mailbox" "addressed to a type of another mailbox only, with no sign that it was delivered here",
    StrangerOnTicket "stranger_on_ticket" "names a ticket that its sender does not belong to",
    StrangerOnThread "stranger_on_thread" "answers a message of a ticket that its sender does not belong to",
    DeletedTicket "deleted_ticket" "names a ticket that was deleted",
    AutoReplyUnplaced "auto_reply_unplaced" "an automatic answer that belongs to no ticket",
    ListMail "list_mail" "mailing-list or bulk mail, and its type opens no tickets for it",
    FloodSender "flood_sender" "too many messages from this sender within the window: suspended",
    BlockedSender "blocked_sender" "the sender is on the block list",
    NoSender "no_sender" "it names no sender that could be answered",
    // error
    TooBig "too_big" "over the mailbox's size limit",
    Refused "refused" "its server lists it and will not give it",
    Unreadable "unreadable" "nothing of it can be read",
    Poison "poison" "it stopped the daemon, or the parser, several times",
    // discard
    Duplicate "duplicate" "the same mail again",
    DuplicateDiffers "duplicate_differs" "the same Message-ID, From and Date again, with another body",
    OwnEcho "own_echo" "our own mail has come back",
    FloodJournalled "flood_journalled" "far too many messages from this sender within the window: kept raw, and not shown",
    AdminToHimself "admin_to_himself" "the admin of a type wrote to it: he would be told of his own mail",
}
