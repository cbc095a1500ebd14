//! The recovery kit: one page to print, with which somebody restores without Havre and without this machine. It is made when a repository
//! is, and shown once. Whoever has it can read every backup, so it is a secret as a whole. Tests at the end of the file.

use havre_core::backup::RepositoryId;
use havre_core::secret::Secret;
use havre_core::ssh_key::Fingerprint;
use havre_core::time::Timestamp;

use crate::place::quoted;

/// Bytes of chance in a password. As many as the keys of the repository itself have.
pub const PASSWORD_BYTES: usize = 32;

/// Crockford's digits: without i, l, o and u, which are misread on paper.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Writes random bytes as a password: 52 digits in groups of four, joined by `-`. The dashes are part of it.
pub fn password(random: &[u8; PASSWORD_BYTES]) -> Secret {
    let mut digits = Vec::with_capacity(65);
    let (mut bits, mut held) = (0_u32, 0_u32);
    let mut count = 0;
    let mut push = |digit: u32, digits: &mut Vec<u8>| {
        if count > 0 && count % 4 == 0 {
            digits.push(b'-');
        }
        digits.push(DIGITS[(digit & 31) as usize]);
        count += 1;
    };
    for byte in random {
        bits = (bits << 8) | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            push(bits >> held, &mut digits);
        }
        bits &= (1 << held) - 1;
    }
    if held > 0 {
        push(bits << (5 - held), &mut digits);
    }
    Secret::new(digits)
}

/// What stands in a kit.
#[derive(Debug, Clone)]
pub struct Kit {
    /// Which installation it belongs to, such as its host name.
    pub installation: String,
    /// Where the repository is, as restic takes it after `-r`.
    pub location: String,
    /// Its id, to tell two of them apart.
    pub repository: RepositoryId,
    /// Variables restic needs to reach it, by name; their values are credentials, which are not in here.
    pub variables: Vec<String>,
    /// The key that its machine shows, where it is reached by SSH.
    pub host_key: Option<Fingerprint>,
    /// The line that brings a whole server back from it.
    pub recover: String,
    /// The password.
    pub password: Secret,
    /// When the page was made.
    pub made_at: Timestamp,
}

/// How to bring a PostgreSQL back to a second by programs that every PostgreSQL has.
const SECOND: &str = "\
To bring a PostgreSQL back to a second, where its WAL was kept: you need PostgreSQL of the same version, a user other than root, the newest
snapshot of a file ...-base.tar from before that second, and every snapshot of ...-wal.tar of the same database from that base until after
that second (their tags from/... and to/... name the first and the last segment of each; more of them do no harm).

    mkdir -m 0700 data wal
    restic dump --no-lock BASE /FILE-base.tar | tar -x -f - -C data
    restic dump --no-lock ID /FILE-wal.tar | tar -x -f - -C wal          (the same for each ID)
    touch data/recovery.signal
    postgres -D data -c listen_addresses= -c unix_socket_directories=$PWD -c hot_standby=off -c archive_mode=off \\
      -c \"restore_command=cp $PWD/wal/%f %p\" -c recovery_target_timeline=current -c recovery_target_action=promote \\
      -c \"recovery_target_time=2026-11-24 10:00:00+00\"

Once `psql -h $PWD -U postgres -l` answers, it is there. `pg_verifybackup -n data`, before recovery.signal is made, compares its files.
";

/// How a whole server comes back.
fn platform(kit: &Kit) -> String {
    format!(
        "The file platform.tar is the state of Havre itself. Secrets in it are sealed with the master key of the server\n\
         (/etc/havre/master.key), which is in no backup: keep a copy of it, apart from this page. With both, another server\n\
         takes the place of one that is gone: install Havre there without starting it, put the master key to its place, and run\n\
         \n    {}\n\n\
         as the user havre. It asks for the password above, brings Havre and its databases back, and says what is left to do.\n",
        kit.recover
    )
}

/// The page.
pub fn page(kit: &Kit) -> Secret {
    let location = quoted(&kit.location);
    let mut text = String::new();
    let mut line = |one: &str| {
        text.push_str(one);
        text.push('\n');
    };
    line("HAVRE RECOVERY KIT");
    line("");
    line(
        "With this page and the program restic (0.14 or newer, from https://restic.net or any Linux distribution)",
    );
    line(
        "you can restore every backup, without Havre and on any machine. So can anybody else who has this page.",
    );
    line("Keep it on paper, away from the server.");
    line("");
    line(&format!("Installation   {}", kit.installation));
    line(&format!("Repository     {}", kit.location));
    line(&format!("Repository id  {}", kit.repository));
    line(&format!("Made at        {}", kit.made_at));
    line("");
    line("Password, with its dashes:");
    line("");
    line(&format!("    {}", kit.password.expose_text().unwrap_or("(not a text: export it as a file)")));
    line("");
    line("1. Say what opens the repository. restic asks for the password; type it as it stands above.");
    line("");
    for name in &kit.variables {
        line(&format!("    export {name}=...     (from the provider of the storage; not on this page)"));
    }
    line(&format!("    export RESTIC_REPOSITORY={location}"));
    if let Some(host_key) = &kit.host_key {
        line("");
        line(
            "restic starts ssh, which needs the private key of that user: put it into ~/.ssh (it is not on this page).",
        );
        line(&format!("The machine must show the key {host_key}."));
    }
    line("");
    line("2. List what there is. Each snapshot is one file; its tags say what it is of, and its SHA-256.");
    line("");
    line("    restic snapshots --no-lock");
    line("");
    line("3. Bring one back, into a new folder. ID is the first column of the list.");
    line("");
    line("    restic restore ID --no-lock --target ./restored");
    line("");
    line("4. Compare. The number must be the one in the tag havre:sha256:... of that snapshot.");
    line("");
    line("    sha256sum ./restored/*");
    line("");
    line("To look at the whole repository for damage: restic check --read-data --no-lock");
    line("");
    line(SECOND);
    line(&platform(kit));
    line(
        "Never write with restic while Havre uses the repository: no backup, forget, prune, unlock or repair. Havre",
    );
    line("takes no locks, and a prune beside it destroys backups.");
    Secret::from(text)
}

/// What may be said about a kit where others listen.
pub fn summary(kit: &Kit) -> String {
    format!("recovery kit of the repository {} at {}", &kit.repository.hex()[..8], kit.location)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kit(location: &str, variables: &[&str]) -> Kit {
        Kit {
            installation: "server.example.org".to_owned(),
            location: location.to_owned(),
            repository: "0123456789abcdef".repeat(4).parse().expect("is an id"),
            variables: variables.iter().map(|name| (*name).to_owned()).collect(),
            host_key: None,
            recover: "havred recover --from /mnt/two".to_owned(),
            password: password(&[7; PASSWORD_BYTES]),
            made_at: Timestamp::from_millis(1_763_978_400_000),
        }
    }

    #[test]
    fn passwords_are_for_people_and_no_bit_is_lost() {
        let text =
            |random: [u8; PASSWORD_BYTES]| password(&random).expose_text().expect("is a text").to_owned();
        assert_eq!(text([0; PASSWORD_BYTES]), ["0000"; 13].join("-"));
        assert_eq!(text([255; PASSWORD_BYTES]), format!("{}-zzzg", ["zzzz"; 12].join("-")));
        for at in 0..PASSWORD_BYTES * 8 {
            let mut random = [0; PASSWORD_BYTES];
            random[at / 8] = 128 >> (at % 8);
            let found = text(random);
            assert_eq!(found.len(), 64, "{found}");
            assert_eq!(found.bytes().filter(|byte| !matches!(byte, b'0' | b'-')).count(), 1, "{at}: {found}");
        }
    }

    #[test]
    fn the_page_has_all_it_takes() {
        let kit =
            kit("s3:https://s3.example.org/backups/shop", &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
        assert_eq!(page(&kit).expose_text().expect("is a text"), include_str!("kit_golden.txt"));
        assert_eq!(format!("{:?}", page(&kit)), "Secret(..)");
        assert_eq!(
            summary(&kit),
            "recovery kit of the repository 01234567 at s3:https://s3.example.org/backups/shop"
        );
    }

    #[test]
    fn of_another_machine_it_says_whom_ssh_must_find() {
        let fingerprint = "SHA256:wK2iATqZPfxfJugRs59aalW5UaXK7OZyChj0reLiQk4";
        let location = "sftp://backup@b.example.org:22//srv/havre";
        let page = page(&Kit { host_key: fingerprint.parse().ok(), ..kit(location, &[]) });
        let text = page.expose_text().expect("is a text");
        assert!(text.contains(&format!("export RESTIC_REPOSITORY={location}\n")), "{text}");
        assert!(text.contains(&format!("must show the key {fingerprint}.")), "{text}");
    }

    #[test]
    fn a_path_with_spaces_can_be_typed() {
        let page = page(&kit("/mnt/it's here", &[]));
        let text = page.expose_text().expect("is a text");
        assert!(text.contains("    export RESTIC_REPOSITORY='/mnt/it'\\''s here'\n"), "{text}");
    }
}
