use super::*;

#[test]
fn text_is_decoded_by_its_charset() {
    for (bytes, label, expected) in [
        (&b"caf\xe9"[..], "iso-8859-1", "café"),
        (b"\x93x\x94", "ISO-8859-1", "“x”"),
        (b"caf\xc3\xa9", "utf-8", "café"),
        (b"\xef\xbb\xbfx", "UTF-8", "x"),
        (b"\xf0\xd2\xc9", "koi8-r", "При"),
        (b"\x1b$B$3$s\x1b(B", "iso-2022-jp", "こん"),
        (b"\xc4\xe3", "gb18030", "你"),
        (b"\x82\xb1", "cp932", "こ"),
        (b"+AOk-", "utf-7", "é"),
        (b"+AOk-", "unicode-1-1-utf-7", "é"),
        (b"\x82", "ibm850", "é"),
        (b"\x81\xe1", "cp437", "üß"),
        (b"~{VPND~} ~~", "hz-gb-2312", "中文 ~"),
        (b"\x1b$)C\x0eGQ1[\x0f ok", "iso-2022-kr", "한글 ok"),
        (b"\x81\x30\x81\x33", "gb2312", "\u{83}"),
        (b"\xa3\xa0", "gbk", "\u{3000}"),
        (b"\xcb\xe6", "gb_2312-80", "随"),
        (b"\xb0\xa1\x81A", "ks_c_5601-1987", "가갂"),
        (b"\xfd", "iso-8859-9", "ı"),
        (b"\xa1", "tis-620", "ก"),
        (b"caf\xe9", "\"iso-8859-1\"", "café"),
        (b"caf\xe9", "iso-8859-1*fr", "café"),
        // The supersets that senders mean.
        (b"\xe9F", "gb2312", "镕"),
        (b"\x80 \x85", "iso-8859-1", "€ …"),
        (b"\x80", "iso-8859-9", "€"),
        (b"\x85", "tis-620", "…"),
        (b"\x81A", "euc-kr", "갂"),
        (b"\x88\x62", "big5-hkscs", "Ê̄"),
        (b"\x87\x40\xfb\xfc", "shift_jis", "①髙"),
        (b"\xad\xa1", "euc-jp", "①"),
        (b"\x1b$B-!\x1b(B", "iso-2022-jp", "①"),
        (b"\x1b(I1\x1b(B", "iso-2022-jp", "ｱ"),
        (b"\x1b$B$3\x1b(B\x1b(I1\x1b(B", "iso-2022-jp", "こｱ"),
        (b"\x1b$B$3$s\x1b(B", "us-ascii", "こん"),
        (b"\x1b$ is no \x1b(B", "us-ascii", "\x1b$ is no \x1b(B"),
        (b"\x1b$B$3\x1b(B", "ISO-2022-JP-MS", "こ"),
        (b"\x1b(J\\\x1b(B", "iso-2022-jp-2", "¥"),
        (b"\xb1", "cp932", "ｱ"),
        (b"\x8a", "macintosh", "ä"),
        (b"\xff\xfea\0\xe9\0", "utf-16", "aé"),
        (b"\xfe\xff\0a\0\xe9", "utf-16", "aé"),
        (b"\0a\0 \0\xe9", "utf-16", "a é"),
        (b"a\0 \0\xe9\0", "UTF-16", "a é"),
        (b"\0a\0 \0\xe9", "utf-16be", "a é"),
        (b"a\0 \0\xe9\0", "utf-16le", "a é"),
        (b"\x04\x1f", "utf-16", "П"),
        (b"caf\xe9", "us-ascii", "café"),
        (b"caf\xe9", "unknown-8bit", "café"),
        (b"caf\xc3\xa9", "x-unknown", "café"),
    ] {
        assert_eq!(decode(bytes, Some(label)), (expected.to_owned(), None), "{label}");
    }
}

const WINDOWS_1251: [u8; 34] = *b"\xc7\xe4\xf0\xe0\xe2\xf1\xf2\xe2\xf3\xe9\xf2\xe5, \xec\xee\xe9 \xef\xf0\xe8\xed\xf2\xe5\xf0 \xf1\xeb\xee\xec\xe0\xeb\xf1\xff";

#[test]
fn a_wrong_or_unknown_charset_is_a_defect_and_the_text_is_read() {
    for (bytes, label, expected, defect) in [
        (&b"caf\xe9"[..], Some("utf-8"), "café", Some(Defect::BadEncoding)),
        (b"caf\xc3\xa9 \xfc.", Some("utf-8"), "café ü.", Some(Defect::BadEncoding)),
        (b"caf\xc3\xa9", Some("x-made-up-99"), "café", Some(Defect::UnknownCharset)),
        (b"caf\xe9", Some("x-made-up-99"), "café", Some(Defect::UnknownCharset)),
        (b"caf\xe9", None, "café", None),
        (b"caf\xc3\xa9", Some("us-ascii"), "café", None),
        ("日本".as_bytes(), Some("iso-2022-jp"), "日本", Some(Defect::BadEncoding)),
        (b"\xc6\xfc\xcb\xdc", Some("iso-2022-jp"), "日本", Some(Defect::BadEncoding)),
        ("Zürich, Köln".as_bytes(), Some("iso-8859-1"), "Zürich, Köln", Some(Defect::BadEncoding)),
        ("Привет".as_bytes(), Some("koi8-r"), "Привет", Some(Defect::BadEncoding)),
        (&WINDOWS_1251, Some("utf-8"), "Здравствуйте, мой принтер сломался", Some(Defect::BadEncoding)),
        (&WINDOWS_1251, None, "Здравствуйте, мой принтер сломался", None),
    ] {
        assert_eq!(decode(bytes, label), (expected.to_owned(), defect), "{label:?}");
    }
}

#[test]
fn what_names_no_charset_is_read_by_what_it_looks_like() {
    use encoding_rs::*;
    for (encoding, words) in [
        (WINDOWS_1251, "Здравствуйте, мой принтер больше не печатает. Что мне делать?"),
        (KOI8_R, "Здравствуйте, мой принтер больше не печатает. Что мне делать?"),
        (WINDOWS_1253, "Καλημέρα, ο εκτυπωτής μου δεν λειτουργεί πια. Τι να κάνω;"),
        (WINDOWS_1250, "Dobrý den, moje tiskárna už netiskne. Můžete mi prosím říct, co mám dělat?"),
        (
            ISO_8859_2,
            "Dzień dobry, moja drukarka już nie działa. Proszę o pomoc, gdyż ważne są żółte kartki.",
        ),
        (
            WINDOWS_1254,
            "Merhaba, yazıcım artık çalışmıyor. Lütfen bana ne yapmam gerektiğini söyleyin, teşekkürler.",
        ),
        (WINDOWS_1255, "שלום, המדפסת שלי כבר לא מדפיסה. מה עלי לעשות?"),
        (WINDOWS_1256, "مرحبا، الطابعة لا تعمل منذ أمس. ماذا علي أن أفعل؟"),
        (WINDOWS_874, "สวัสดีครับ เครื่องพิมพ์ของผมไม่ทำงานแล้ว ต้องทำอย่างไรครับ"),
        (SHIFT_JIS, "こんにちは。プリンターが動かなくなりました。どうすればいいですか。"),
        (EUC_JP, "こんにちは。プリンターが動かなくなりました。どうすればいいですか。"),
        (GBK, "您好，我的打印机不能打印了。请问我应该怎么办？"),
        (BIG5, "您好，我的印表機不能列印了。請問我應該怎麼辦？"),
        (EUC_KR, "안녕하세요, 제 프린터가 더 이상 인쇄되지 않습니다. 어떻게 해야 하나요?"),
        (
            WINDOWS_1252,
            "Grüße aus Köln: mein Drucker möchte nicht mehr. Können Sie mir bitte für übermorgen helfen?",
        ),
        (UTF_8, "Grüße, 您好, Здравствуйте"),
    ] {
        let bytes = encoding.encode(words).0;
        for label in [None, Some("us-ascii"), Some("unknown-8bit"), Some("x-unknown"), Some("utf-8")] {
            assert_eq!(decode(&bytes, label).0, words, "{} as {label:?}", encoding.name());
        }
    }
}
