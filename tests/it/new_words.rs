//! The new words of a mail: in HTML as mail programs build it, in replies that others collected, and in what nobody would
//! write. `MAILDESK_FUZZ_SECONDS=600 scripts/test fuzz_message` lets the readers meet mutated mail for ten minutes.

mod programs;

use std::time::{Duration, Instant};

use maildesk::mail::quoting::{self, Split};
use maildesk::mail::{self, Message};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::corpora::corpora;
use crate::support::setting;

/// No file may take longer (in a release build; a debug build on a busy machine is given more).
const TIME_LIMIT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 5000 } else { 50 });

fn read(raw: &[u8]) -> Message {
    mail::parse(&mail::scan(&mut &raw[..]).expect("a slice has no read errors"))
}

fn text(body: &str) -> Split {
    quoting::split(body, &[])
}

fn page(html: &str) -> Message {
    let head = "From: a@b.test\nMIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n";
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
    for (program, html, words, signature) in programs::PAGES {
        let split = page(html).split();
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

#[test]
fn fuzz_message_reply_and_tnef_readers() {
    let seconds = setting("MAILDESK_FUZZ_SECONDS").and_then(|s| s.parse().ok()).unwrap_or(0.5);
    let mut seeds = seeds();
    if let Some(root) = corpora() {
        seeds.extend(collected(&root));
    }
    let seed = setting("MAILDESK_FUZZ_SEED").and_then(|s| s.parse().ok()).unwrap_or(1);
    let mut random = StdRng::seed_from_u64(seed);
    let started = Instant::now();
    let mut rounds = 0_u64;
    while started.elapsed().as_secs_f64() < seconds {
        let raw = mutated(&seeds, &mut random);
        let at = Instant::now();
        let message = read(&raw);
        let split = message.split();
        let took = at.elapsed();
        let panicked = message.defects.contains(&mail::Defect::ParserPanicked);
        let is_whole = split.pieces.last().map_or(0, |p| p.end) == message.text.len();
        if panicked || !is_whole || took > TIME_LIMIT {
            let path = std::env::temp_dir().join(format!("maildesk-fuzz-{seed}-{rounds}.eml"));
            std::fs::write(&path, &raw).unwrap();
            panic!(
                "round {rounds} of seed {seed}: panicked {panicked}, whole {is_whole}, {took:?}: {}",
                path.display()
            );
        }
        rounds += 1;
    }
    println!("{rounds} mails in {seconds} s");
}

/// Mails of our own, one for each reader.
fn seeds() -> Vec<Vec<u8>> {
    let head = "From: Ada <ada@black.test>\r\nTo: desk@desk.test\r\nSubject: =?utf-8?Q?Caf=C3=A9?=\r\n";
    let plain = "On 2 Nov 2026, at 10:00, Desk <desk@desk.test> wrote:\r\n> old\r\n-- \r\nAda\r\n";
    let mut seeds = vec![
        format!("{head}\r\nNew.\r\n\r\n{plain}").into_bytes(),
        format!("{head}Content-Type: text/plain; format=flowed; delsp=yes\r\n\r\nNew \r\nwords.\r\n> old \r\n> er\r\n{plain}").into_bytes(),
        format!("{head}\r\nbegin 644 a.txt\r\n#8V%T\r\n`\r\nend\r\n").into_bytes(),
        // A winmail.dat with an attribute of each kind that is read.
        format!("{head}Content-Type: application/ms-tnef\r\nContent-Transfer-Encoding: base64\r\n\r\neJ8+IgEAAgeQBgAIAAAA5AQAAAAAAADoAAIMgAYABQAAAHdvcmRzAAACApAGAA4AAAAAAAAAAAAAAAAAAAAAAAACEIAGAAYAAABhLnR4dAAAAg+ABgADAAAAY2F0AAA=\r\n").into_bytes(),
    ];
    seeds.extend(programs::PAGES.iter().map(|(_, html, ..)| {
        format!("{head}Content-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n").into_bytes()
    }));
    seeds
}

/// Some of what others collected, none of it long.
fn collected(root: &std::path::Path) -> Vec<Vec<u8>> {
    let mut found = vec![];
    for folder in [
        "talon/data/fixtures/standard_replies",
        "email_reply_trimmer/data/emails",
        "enmime/data",
        "mime4j/data",
    ] {
        let Ok(entries) = std::fs::read_dir(root.join(folder)) else { continue };
        let files = entries.filter_map(Result::ok).map(|e| e.path()).filter(|p| p.is_file()).take(150);
        found.extend(files.filter_map(|p| std::fs::read(p).ok()).filter(|raw| raw.len() < 60_000));
    }
    found
}

/// One mail with pieces cut, doubled, changed, or taken from another.
fn mutated(seeds: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut raw = seeds.choose(random).cloned().unwrap_or_default();
    for _ in 0..random.random_range(1..8) {
        let at = random.random_range(0..=raw.len());
        let length = random.random_range(0..=(raw.len() - at).min(200));
        match random.random_range(0..5) {
            0 => drop(raw.drain(at..at + length)),
            1 => {
                let piece = raw[at..at + length].repeat(random.random_range(1..20));
                raw.splice(at..at, piece).for_each(drop);
            }
            2 => raw[at..at + length].iter_mut().take(8).for_each(|b| *b = random.random()),
            3 => {
                let words = [
                    "\r\n",
                    "> ",
                    "-- ",
                    "<div ",
                    "wrote:\n",
                    "=?utf-8?B?",
                    "begin 644 ",
                    "\0",
                    "\u{ff1a}",
                    "From: ",
                ];
                let word = words.choose(random).map_or(&b""[..], |w| w.as_bytes());
                raw.splice(at..at, word.iter().copied()).for_each(drop);
            }
            _ => {
                let other = seeds.choose(random).map_or(&b""[..], Vec::as_slice);
                let from = random.random_range(0..=other.len());
                let end = (from + random.random_range(0..300)).min(other.len());
                raw.splice(at..at + length, other[from..end].iter().copied()).for_each(drop);
            }
        }
    }
    raw
}
