//! Any bytes as what a mail server says, in any pieces, and a name from a file in the mail.
#![no_main]

use std::time::Duration;

use failover_vrrp::Micros;
use failover_vrrp::mail::{Letter, Mail, Mailbox, News, Sender};
use failover_vrrp::smtp::{Dialogue, Input, Output};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (String, String, Vec<Vec<u8>>)| {
    let (name, address, pieces) = data;
    let ops = Mailbox::parse("ops@example.com").expect("it is an address");
    let mail = Mail {
        to: [Some(ops), Mailbox::parse(&address)].into_iter().flatten().collect(),
        from: Mailbox::parse(&address),
        server: ("127.0.0.1".to_owned(), 25),
        patience: Duration::from_secs(30),
        hello: None,
        node: Some(name.clone()),
        faults: true,
    };
    let news = News { name: name.clone(), is_group: false, state: "MASTER", at: 0 };
    let sender = Sender { host: name.clone(), user: name.clone(), member: name };
    let letter = Letter::new(&mail, &news, &sender);
    let lines = letter.lines.len();
    let mut dialogue = Dialogue::new(Micros(0), letter, mail.patience, mail.patience);
    let (mut ended, mut written) = (0, 0);
    for piece in pieces.iter().map(|piece| Input::Bytes(piece)).chain([Input::Closed]) {
        dialogue.handle_input(Micros(1), piece);
        while let Some(output) = dialogue.poll_output() {
            assert_eq!(ended, 0, "nothing follows the end");
            match output {
                Output::Ended(_) => ended += 1,
                Output::Write(bytes) => {
                    let text = String::from_utf8(bytes).expect("names are plain");
                    let ends = text.matches("\r\n").count();
                    assert_eq!(ends, text.matches('\n').count());
                    assert!(ends == 1 || ends == lines + 1, "{text}");
                    assert_eq!(ends > 1, text.ends_with("\r\n.\r\n"), "one dot ends a mail, and nothing else");
                    assert!(!text.trim_end_matches(".\r\n").contains("\r\n.\r\n"));
                    written += 1;
                }
            }
        }
    }
    assert_eq!(ended, 1);
    assert!(written <= 7, "a greeting, a sender, two recipients, DATA, the mail, a goodbye");
});
