//! The new words of a mail: in HTML as mail programs build it, in replies that others collected, and in what nobody would
//! write.

mod more_programs;
mod programs;
mod tongues;

use std::time::{Duration, Instant};

use maildesk::mail::quoting::{self, Relation, Split};
use maildesk::mail::{self, Message};

use crate::corpora::corpora;

/// No file may take longer (in a release build; a debug build on a busy machine is given more).
const TIME_LIMIT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 5000 } else { 50 });

fn read(raw: &[u8]) -> Message {
    mail::parse(&mail::scan(&mut &raw[..]).expect("a slice has no read errors"))
}

fn text(body: &str) -> Split {
    quoting::split(body, &[], Relation::Answer)
}

fn page(html: &str) -> Message {
    let head =
        "From: a@b.test\nSubject: Re: words\nMIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n";
    read(format!("{head}{html}\n").as_bytes())
}

/// White space and empty quoted lines are the program's, not the writer's.
fn bare(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && *l != ">");
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn each_mail_program_s_html_is_told_apart() {
    let mut wrong = vec![];
    for (program, html, words, signature) in
        programs::PAGES.iter().chain(more_programs::PAGES).chain(tongues::PAGES)
    {
        let started = Instant::now();
        let split = page(html).split();
        assert!(started.elapsed() < TIME_LIMIT, "{program} took {:?}", started.elapsed());
        let said = (bare(&split.visible), bare(&split.signature));
        if said != (bare(words), bare(signature)) {
            wrong.push(format!("{program}: {said:?} by {:?}", split.rules));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn replies_in_many_tongues_are_told_apart() {
    for reply in [
        "Am Mo., 2. Nov. 2026 um 10:00 Uhr schrieb Desk <desk@desk.test>:\n> alt",
        "Le lun. 2 nov. 2026 à 10:00, Desk <desk@desk.test> a écrit :\n> vieux",
        "El lun, 2 nov 2026 a las 10:00, Desk (<desk@desk.test>) escribió:\nviejo",
        "Em seg., 2 de nov. de 2026 às 10:00, Desk <desk@desk.test> escreveu:\nvelho",
        "Il giorno lun 2 nov 2026 alle ore 10:00 Desk <desk@desk.test> ha scritto:\nvecchio",
        "Op ma 2 nov 2026 om 10:00 schreef Desk <desk@desk.test>:\noud",
        "Den mån 2 nov. 2026 kl 10:00 skrev Desk <desk@desk.test>:\ngammalt",
        "Den man. 2. nov. 2026 kl. 10.00 skrev Desk <desk@desk.test>:\ngammelt",
        "man. 2. nov. 2026 kl. 10:00 skrev Desk <desk@desk.test>:\ngammelt",
        "ma 2. marrask. 2026 klo 10.00 Desk (desk@desk.test) kirjoitti:\nvanha",
        "pon., 2 lis 2026 o 10:00 Desk <desk@desk.test> napisał(a):\nstare",
        "po 2. 11. 2026 v 10:00 odesílatel Desk <desk@desk.test> napsal:\nstaré",
        "po 2. 11. 2026 o 10:00 Desk <desk@desk.test> napísal(a):\nstaré",
        "Desk <desk@desk.test> ezt írta (időpont: 2026. nov. 2., H, 10:00):\nrégi",
        "În lun., 2 nov. 2026 la 10:00, Desk <desk@desk.test> a scris:\nvechi",
        "пн, 2 нояб. 2026 г. в 10:00, Desk <desk@desk.test>:\nстарое",
        "пн, 2 лист. 2026 р. о 10:00 Desk <desk@desk.test> пише:\nстаре",
        "На пн, 2.11.2026 г. в 10:00 Desk <desk@desk.test> написа:\nстаро",
        "pon, 2. stu 2026. u 10:00 Desk <desk@desk.test> je napisao/la:\nstaro",
        "Desk <desk@desk.test>, 2 Kas 2026 Pzt, 10:00 tarihinde şunu yazdı:\neski",
        "Στις Δευ 2 Νοε 2026 στις 10:00 π.μ., ο χρήστης Desk <desk@desk.test> έγραψε:\nπαλιό",
        "Desk <desk@desk.test> 于2026年11月2日周一 10:00写道：\n旧",
        "在 2026年11月2日，10:00，Desk <desk@desk.test> 写道：\n旧",
        "2026年11月2日(月) 10:00 Desk <desk@desk.test>:\n古い",
        "2026年11月2日 10:00、Desk <desk@desk.test>のメール:\n> 古い",
        "2026년 11월 2일 (월) 오전 10:00, Desk <desk@desk.test>님이 작성:\n옛날",
        "Vào Th 2, 2 thg 11, 2026 vào lúc 10:00 Desk <desk@desk.test> đã viết:\ncũ",
        "Pada Sen, 2 Nov 2026 pukul 10.00 Desk <desk@desk.test> menulis:\nlama",
        "في الاثنين، 2 نوفمبر 2026 في 10:00 ص تمت كتابة ما يلي بواسطة Desk <desk@desk.test>:\nقديم",
        "בתאריך יום ב׳, 2 בנוב׳ 2026 ב-10:00 מאת Desk <desk@desk.test>:\nישן",
        "Kuupäev E, 2. november 2026 kell 10:00 kirjutas Desk <desk@desk.test>:\nvana",
        "2026-11-02, pr, 10:00 Desk <desk@desk.test> rašė:\nsenas",
        "Missatge de Desk <desk@desk.test> del dia dl., 2 de nov. 2026 a les 10:00:\n> vell",
        "Þann mán., 2. nóv. 2026 kl. 10:00 skrifaði Desk <desk@desk.test>:\ngamalt",
        "เมื่อ จ. 2 พ.ย. 2026 เวลา 10:00 Desk <desk@desk.test> เขียนว่า:\nเก่า",
        "Saatja: Desk <desk@desk.test>\nSaadetud: 2. november 2026 10:00\nAdressaat: Ada\nTeema: x\n\nvana",
        "Nuo: Desk <desk@desk.test>\nIšsiųsta: 2026 m. lapkričio 2 d. 10:00\nKam: Ada\nTema: x\n\nsenas",
        "จาก: Desk <desk@desk.test>\nส่ง: 2 พฤศจิกายน 2569 10:00\nถึง: Ada\nเรื่อง: x\n\nเก่า",
        "De: Desk <desk@desk.test>\nEnviat el: dilluns, 2 de novembre de 2026 10:00\nPer a: Ada\nAssumpte: x\n\nvell",
        "##- Digite sua resposta acima desta linha -##\nvelho",
        "-----Ursprüngliche Nachricht-----\nVon: Desk\nalt",
        "________________________________\nDe : Desk <desk@desk.test>\nEnvoyé : lundi 2 novembre 2026\nObjet : x\n\nvieux",
        "差出人: Desk <desk@desk.test>\n送信日時: 2026年11月2日 10:00\n宛先: Ada\n件名: x\n\n古い",
        "보낸 사람: Desk <desk@desk.test>\n날짜: 2026년 11월 2일\n받는 사람: Ada\n제목: x\n\n옛날",
        "##- Please type your reply above this line -##\nold",
        "-------- Mensaje original --------\nDe: Desk\nFecha: 2/11/26\nviejo",
    ] {
        let whole = format!("New words, 12 of them.\n\n{reply}\n");
        assert_eq!(text(&whole).visible, "New words, 12 of them.", "{whole}");
    }
}

#[test]
fn words_that_only_look_like_marks_stay() {
    for words in [
        "On Monday at 10:00 I wrote to you about this:\nthe printer is broken.",
        "From: the beginning it was broken.\nTo: the end it stayed so.",
        "Here is the list:\n- one\n- two\n\nPlease order them.",
        "Heading\n-------\nText below the heading.",
        "Sent from my desk, where the printer stands, I wrote you yesterday about it.",
        "My address:\nAda Black\n1 Ink Street\nLondon",
        "The error is\n\n    From: x\n\nand nothing else.",
        "Am 3.11. um 10:00 passt es mir:\nbitte bestätigen.",
        "It says 10:30 wrote error: disk full",
    ] {
        assert_eq!(text(words).visible, words);
    }
}

#[test]
fn collected_replies_are_told_apart() {
    let Some(root) = corpora() else { return };
    let Ok(expected) = std::fs::read_to_string(root.join("email_reply_trimmer/expected.jsonl")) else {
        return;
    };
    let (mut right, mut all) = (0, 0);
    for line in expected.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let (Some(file), Some(want)) = (row["file"].as_str(), row["expected"].as_str()) else { continue };
        let input = std::fs::read(root.join("email_reply_trimmer").join(file)).unwrap();
        let input = String::from_utf8_lossy(&input).replace("\r\n", "\n");
        all += 1;
        right += usize::from(text(&input).visible.trim() == want.trim());
    }
    assert!(right * 100 >= all * 90, "{right} of {all}");
}

#[test]
fn hostile_texts_take_little_time() {
    // A debug build would make the landing tier wait.
    let size = if cfg!(debug_assertions) { 64 << 10 } else { 1 << 20 };
    let all = |piece: &str| piece.repeat(size / piece.len());
    for piece in [
        ">",
        "> ",
        ">\n",
        "> a\nb\n",
        "On 2 Nov 2026, ",
        "On 2 Nov 2026 a@b.test\n",
        "wrote:\n",
        "From: a@b.test\n",
        "a:\n",
        "-",
        "--\n",
        "____\n\n",
        "<",
        "<div class=\"gmail_quote\">",
        "<blockquote type=cite>",
        "begin 644 a\n",
        "confidential ",
        "confidential intended recipient\n\n",
        "Regards,\n",
        "Sent from my ",
        "\u{3000}",
        "2026-",
        "写道：\n",
        "(http",
        "\t\n",
        "> x (http\n(http\n",
    ] {
        let whole = all(piece);
        let started = Instant::now();
        text(&whole);
        assert!(started.elapsed() < TIME_LIMIT, "{piece:?} took {:?}", started.elapsed());
        let started = Instant::now();
        page(&whole).split();
        assert!(started.elapsed() < TIME_LIMIT, "{piece:?} as a page took {:?}", started.elapsed());
    }
}
