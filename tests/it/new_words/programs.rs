//! Replies as mail programs build them in HTML, each in the structure of its kind: what is new, and what signs.

/// Program, page, new words, signature.
pub const PAGES: &[(&str, &str, &str, &str)] = &[
    (
        "Gmail",
        r#"<div dir="ltr">It works now.<div><br></div><div>Thank you!</div></div><br><div class="gmail_quote gmail_quote_container"><div dir="ltr" class="gmail_attr">On Mon, Nov 2, 2026 at 10:00 AM Desk &lt;<a href="mailto:desk@desk.test">desk@desk.test</a>&gt; wrote:<br></div><blockquote class="gmail_quote" style="margin:0px 0px 0px 0.8ex;border-left:1px solid rgb(204,204,204);padding-left:1ex"><div dir="ltr">Did you try it?</div></blockquote></div><br clear="all"><div><br></div><span class="gmail_signature_prefix">-- </span><br><div dir="ltr" class="gmail_signature">Ada Black<br>Black Ink Ltd</div>"#,
        "It works now.\n\nThank you!",
        "Ada Black\nBlack Ink Ltd",
    ),
    (
        "Gmail, answers in between",
        r#"<div dir="ltr"><div class="gmail_quote"><div dir="ltr" class="gmail_attr">On Mon, Nov 2, 2026 at 10:00 AM Desk &lt;desk@desk.test&gt; wrote:<br></div><blockquote class="gmail_quote">Which printer is it?</blockquote><div>The blue one.</div><blockquote class="gmail_quote">Since when?</blockquote><div>Since Monday.</div></div></div>"#,
        "> Which printer is it?\n\nThe blue one.\n\n> Since when?\n\nSince Monday.",
        "",
    ),
    (
        "Outlook",
        r#"<html xmlns:o="urn:schemas-microsoft-com:office:office"><head><style>p.MsoNormal{margin:0cm}</style></head><body lang=EN-GB><div class=WordSection1><p class=MsoNormal>Please see below.<o:p></o:p></p><p class=MsoNormal><o:p>&nbsp;</o:p></p><p class=MsoNormal>Ada<o:p></o:p></p><div><div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm'><p class=MsoNormal><b>From:</b> Desk &lt;desk@desk.test&gt; <br><b>Sent:</b> 02 November 2026 10:00<br><b>To:</b> Ada Black &lt;ada@black.test&gt;<br><b>Subject:</b> Printer<o:p></o:p></p></div></div><p class=MsoNormal>Did you try it?<o:p></o:p></p></div></body></html>"#,
        "Please see below.\n\nAda",
        "",
    ),
    (
        "Outlook in a language that no table knows",
        r#"<div class=WordSection1><p class=MsoNormal>Takk fyrir.</p><div style='border:none;border-top:solid #B5C4DF 1.0pt;padding:3.0pt 0cm 0cm 0cm'><p class=MsoNormal><b>Xfrá:</b> Desk [mailto:desk@desk.test] <br><b>Xsent:</b> 2. nóvember 2026 10:00<br><b>Xtil:</b> Ada<br><b>Xefni:</b> Prentari</p></div><p class=MsoNormal>Gamalt.</p></div>"#,
        "Takk fyrir.",
        "",
    ),
    (
        "Outlook on the web",
        r#"<div class="elementToProof" style="font-size:12pt">It is fixed.</div><div id="Signature"><div>Ada Black</div></div><div id="appendonsend"></div><hr style="display:inline-block;width:98%" tabindex="-1"><div id="divRplyFwdMsg" dir="ltr"><font face="Calibri"><b>Von:</b> Desk &lt;desk@desk.test&gt;<br><b>Gesendet:</b> Montag, 2. November 2026 10:00<br><b>An:</b> Ada<br><b>Betreff:</b> Drucker</font></div><div>Geht es?</div>"#,
        "It is fixed.",
        "Ada Black",
    ),
    (
        "Outlook mobile",
        r#"<div dir="auto">Ja, danke.</div><div id="ms-outlook-mobile-signature" dir="auto"><div>Gesendet von <a href="https://aka.test/o">Outlook für Android</a></div></div><hr style="display:inline-block;width:98%"><div id="divRplyFwdMsg" dir="ltr"><b>From:</b> Desk &lt;desk@desk.test&gt;<br><b>Sent:</b> Monday, November 2, 2026 10:00:00 AM<br><b>To:</b> Ada<br></div><div>Geht es?</div>"#,
        "Ja, danke.",
        "Gesendet von Outlook für Android",
    ),
    (
        "Apple Mail",
        r#"<html><head></head><body style="word-wrap: break-word;"><div>The ink is black again.</div><br><div><blockquote type="cite"><div>On 2. Nov 2026, at 10:00, Desk &lt;desk@desk.test&gt; wrote:</div><br class="Apple-interchange-newline"><div>Which colour is it?</div></blockquote></div><br></body></html>"#,
        "The ink is black again.",
        "",
    ),
    (
        "Apple Mail on a telephone",
        r#"<html><body dir="auto">Blue.<br><br><div dir="ltr">Sent from my iPhone</div><div dir="ltr"><br><blockquote type="cite">On 2 Nov 2026, at 10:00, Desk &lt;desk@desk.test&gt; wrote:<br><br></blockquote></div><blockquote type="cite"><div dir="ltr">Which colour is it?</div></blockquote></body></html>"#,
        "Blue.",
        "Sent from my iPhone",
    ),
    (
        "Yahoo",
        r#"<div class="ydp1yahoo-style-wrap"><div dir="ltr">No luck so far.</div></div><div id="ydp2yahoo_quoted_1" class="ydp2yahoo_quoted"><div>On Monday, November 2, 2026 at 10:00:00 AM GMT+1, Desk &lt;desk@desk.test&gt; wrote:</div><div>Any luck?</div></div>"#,
        "No luck so far.",
        "",
    ),
    (
        "Thunderbird",
        r#"<html><body><p>Merci, c'est bon.</p><div class="moz-cite-prefix">Le 02/11/2026 à 10:00, Desk a écrit :<br></div><blockquote type="cite" cite="mid:1@desk.test"><p>Ça marche ?</p></blockquote><div class="moz-signature">-- <br>Ada Noire</div></body></html>"#,
        "Merci, c'est bon.",
        "Ada Noire",
    ),
    (
        "Thunderbird, the answer below",
        r#"<html><body><div class="moz-cite-prefix">Am 02.11.26 um 10:00 schrieb Desk:<br></div><blockquote type="cite" cite="mid:1@desk.test"><p>Geht es?</p></blockquote><p>Nein, leider nicht.</p></body></html>"#,
        "Nein, leider nicht.",
        "",
    ),
    (
        "Proton",
        r#"<div style="font-family: Arial">Done.</div><div class="protonmail_signature_block"><div class="protonmail_signature_block-proton">Sent with Proton Mail secure email.</div></div><div class="protonmail_quote">On Monday, November 2nd, 2026 at 10:00, Desk &lt;desk@desk.test&gt; wrote:<br><blockquote class="protonmail_quote" type="cite">Is it done?</blockquote></div>"#,
        "Done.",
        "Sent with Proton Mail secure email.",
    ),
    (
        "Zoho",
        r#"<div style="font-family: Verdana"><div>Received, thanks.</div><div class="zmail_extra"><br>---- On Mon, 02 Nov 2026 10:00:00 +0100 <b>Desk &lt;desk@desk.test&gt;</b> wrote ---<br><blockquote style="margin: 0px;"><div>It was sent.</div></blockquote></div></div>"#,
        "Received, thanks.",
        "",
    ),
    (
        "GMX",
        r#"<html><head></head><body><div><div>Vielen Dank.</div><div><div name="quote" style="margin:10px 5px 5px 10px; padding: 10px 0 10px 10px; border-left:2px solid #C3D9E5;"><div><b>Gesendet:</b> Montag, 02. November 2026<br><b>Von:</b> Desk</div><div>Geht es?</div></div></div></div></body></html>"#,
        "Vielen Dank.",
        "",
    ),
    (
        "Yandex",
        r#"<div>Спасибо, работает.</div><div> </div><div>02.11.2026, 10:00, "Desk" &lt;desk@desk.test&gt;:</div><blockquote><div>Работает?</div></blockquote>"#,
        "Спасибо, работает.",
        "",
    ),
    (
        "Zimbra",
        r#"<div>Yes please.</div><hr id="zwchr"><div><b>From: </b>"Desk" &lt;desk@desk.test&gt;<br><b>To: </b>"Ada"<br><b>Sent: </b>Monday, November 2, 2026<br></div><div>Shall we?</div>"#,
        "Yes please.",
        "",
    ),
    (
        "Spark",
        r#"<div name="messageBodySection"><div dir="auto">Perfect.</div></div><div name="messageSignatureSection"><br>Ada</div><div name="messageReplySection">On 2 Nov 2026, 10:00 +0100, Desk, wrote:<br><blockquote type="cite">Is it?</blockquote></div>"#,
        "Perfect.",
        "Ada",
    ),
    (
        "Windows Mail",
        r#"<div dir="ltr"><div>Bien reçu.</div><div data-signatureblock="true"><div>Ada</div></div><div style="padding-top: 5px; border-top-color: rgb(229, 229, 229); border-top-width: 1px; border-top-style: solid;"><div><b>De :</b>&nbsp;Desk<br><b>Envoyé :</b>&nbsp;lundi 2 novembre 2026<br><b>À :</b>&nbsp;Ada</div></div><div>Reçu ?</div></div>"#,
        "Bien reçu.",
        "Ada",
    ),
    (
        "Roundcube",
        r#"<p>Hotovo.</p><div id="reply-intro">Dne 02. 11. 2026 10:00, Desk napsal(a):</div><blockquote type="cite"><p>Je to hotovo?</p></blockquote>"#,
        "Hotovo.",
        "",
    ),
    (
        "a mail passed on in Gmail",
        r#"<div dir="ltr">This one is for you, I believe.<br><br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">---------- Forwarded message ---------<br>From: <b>Ada</b> &lt;ada@black.test&gt;<br>Date: Mon, Nov 2, 2026 at 10:00 AM<br>Subject: Printer<br>To: &lt;boss@desk.test&gt;<br></div><br>It does not print.</div></div>"#,
        "This one is for you, I believe.",
        "",
    ),
    (
        "a table and an indented list are no quotation",
        r#"<p>The numbers:</p><table><tr><td>Ink</td><td>3</td></tr></table><blockquote style="margin:0 0 0 40px;border:none"><p>first<p>second</blockquote><p>Ada</p>"#,
        "The numbers:\n\nInk 3\n\nfirst\n\nsecond\n\nAda",
        "",
    ),
];
