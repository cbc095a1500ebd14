//! `havre backup target set`: a folder, a bucket, or a folder of another machine. A credential comes from standard input, never from an
//! argument, where every process of the machine could see it. Tests at the end of the file.

use std::io::{IsTerminal as _, Read as _};

use havre_api::backup::{BackupTarget, SetBackupTargetRequest};
use havre_core::backup::location::{
    BucketName, Endpoint, KeyPrefix, Location, MachineHost, Region, SftpUser,
};
use havre_core::name::{AbsolutePath, MediumName, TargetName};
use havre_core::ssh_key::Fingerprint;
use hyper::Method;

use crate::backup::target_path;
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::task::terminal;

/// More than any credential has, so that a longer one is refused and not cut.
const CREDENTIAL_MAX: u64 = 32 * 1024;

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("place").required(true).args(["folder", "s3", "sftp"])))]
pub(crate) struct Options {
    /// Its name, such as disk-two
    name: TargetName,
    /// A folder of this machine
    #[arg(long, value_name = "PATH")]
    folder: Option<AbsolutePath>,
    /// A bucket of the object storage at this address
    #[arg(long, value_name = "URL", requires = "bucket", requires = "region")]
    s3: Option<Endpoint>,
    /// The bucket; it has to be there
    #[arg(long, value_name = "NAME", conflicts_with_all = ["folder", "sftp"])]
    bucket: Option<BucketName>,
    /// Where the storage says it is, such as eu-west-3
    #[arg(long, value_name = "NAME", conflicts_with_all = ["folder", "sftp"])]
    region: Option<Region>,
    /// What the names of all objects begin with
    #[arg(long, value_name = "PREFIX", conflicts_with_all = ["folder", "sftp"])]
    prefix: Option<KeyPrefix>,
    /// The bucket stands in the path, not in the host
    #[arg(long, conflicts_with_all = ["folder", "sftp"])]
    path_style: bool,
    /// A folder of another machine, over SSH
    #[arg(long, value_name = "HOST", requires = "user", requires = "path", requires = "host_key")]
    sftp: Option<MachineHost>,
    /// Who logs in there
    #[arg(long, value_name = "NAME", conflicts_with_all = ["folder", "s3"])]
    user: Option<SftpUser>,
    /// Its port
    #[arg(long, value_name = "PORT", default_value_t = 22)]
    port: u16,
    /// The folder there
    #[arg(long, value_name = "PATH", conflicts_with_all = ["folder", "s3"])]
    path: Option<AbsolutePath>,
    /// Fingerprint of the key of that machine, as `ssh-keygen -l` shows it
    #[arg(long, value_name = "SHA256:...", conflicts_with_all = ["folder", "s3"])]
    host_key: Option<Fingerprint>,
    /// What the bytes lie on: what is lost together has one name; the live data lies on `disk`
    #[arg(long, value_name = "NAME")]
    medium: MediumName,
    /// It outlives this place: another building, another account
    #[arg(long = "off-site")]
    is_offsite: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let client = invocation.client()?;
    let (name, medium, is_offsite) = (options.name.clone(), options.medium.clone(), options.is_offsite);
    let location = location(options)?;
    let credential = read_credential(&location)?;
    let request = SetBackupTargetRequest { location, medium, is_offsite, credential };
    let set: BackupTarget = client.call(Method::PUT, &target_path(&name, ""), &request).await?;
    if invocation.global.json {
        output::json(&set)?;
        return Ok(Exit::Ok);
    }
    output::say(&format!("backups go to {} ({}) from now on", set.name, set.address));
    if set.kit_shown_at.is_none() {
        output::say(&format!(
            "once its repository is made, print its recovery kit: `havre backup kit {}`; without it and without this machine nothing \
             there can be read",
            set.name
        ));
    }
    Ok(Exit::Ok)
}

fn location(options: Options) -> Result<Location, CliError> {
    if let Some(path) = options.folder {
        return Ok(Location::Folder { path });
    }
    if let (Some(endpoint), Some(bucket), Some(region)) = (options.s3, options.bucket, options.region) {
        let (prefix, path_style) = (options.prefix, options.path_style);
        return Ok(Location::S3 { endpoint, bucket, region, prefix, path_style });
    }
    if let (Some(host), Some(user), Some(path), Some(host_key)) =
        (options.sftp, options.user, options.path, options.host_key)
    {
        return Ok(Location::Sftp { host, port: options.port, user, path, host_key });
    }
    Err(CliError::usage("say where backups go: --folder, --s3 or --sftp"))
}

/// Nothing where none is needed, or none was given: then the one it has stays.
fn read_credential(location: &Location) -> Result<Option<String>, CliError> {
    let failed = |error: std::io::Error| CliError::io("read the credential", &error);
    let mut text = String::new();
    match location {
        Location::Folder { .. } => return Ok(None),
        Location::S3 { .. } if std::io::stdin().is_terminal() => {
            output::say(
                "id of the access key, then the secret access key (they are not shown; nothing keeps those it has):",
            );
            let _silence = terminal::silence().map_err(failed)?;
            std::io::stdin().read_line(&mut text).map_err(failed)?;
            if !text.trim().is_empty() {
                std::io::stdin().read_line(&mut text).map_err(failed)?;
            }
        }
        Location::Sftp { .. } if std::io::stdin().is_terminal() => {
            return Err(CliError::usage("the private key for SSH comes from standard input").hint(
                "pipe it in: `havre backup target set ... < key`; an empty input keeps the one it has",
            ));
        }
        Location::S3 { .. } | Location::Sftp { .. } => {
            std::io::stdin().lock().take(CREDENTIAL_MAX).read_to_string(&mut text).map_err(failed)?;
        }
    }
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;

    fn parse(arguments: &[&str]) -> Result<String, clap::Error> {
        let command = Options::augment_args(Command::new("set"));
        let matches = command.try_get_matches_from(["set"].iter().chain(arguments))?;
        let options = Options::from_arg_matches(&matches)?;
        Ok(location(options).map_or_else(|error| error.message, |location| location.to_string()))
    }

    const KEY: &str = "SHA256:wK2iATqZPfxfJugRs59aalW5UaXK7OZyChj0reLiQk4";

    #[test]
    fn three_kinds_of_places() {
        let folder = parse(&["two", "--folder", "/mnt/two", "--medium", "disk-two"]).expect("is one");
        assert_eq!(folder, "/mnt/two");
        let s3 = [
            "b",
            "--s3",
            "https://s3.example.org",
            "--bucket",
            "backups",
            "--region",
            "eu-west-3",
            "--medium",
            "b",
        ];
        assert_eq!(parse(&s3).expect("is one"), "s3:https://s3.example.org/backups");
        let sftp = [
            "n",
            "--sftp",
            "nas.example.org",
            "--user",
            "havre",
            "--path",
            "/srv/b",
            "--host-key",
            KEY,
            "--medium",
            "n",
        ];
        assert_eq!(parse(&sftp).expect("is one"), "sftp://havre@nas.example.org:22//srv/b");
    }

    #[test]
    fn half_a_place_is_none() {
        for wrong in [
            &["two", "--medium", "m"][..],
            &["two", "--folder", "/mnt/two"],
            &["two", "--folder", "relative", "--medium", "m"],
            &["two", "--folder", "/a", "--s3", "https://s3.example.org", "--medium", "m"],
            &["two", "--s3", "https://s3.example.org", "--bucket", "backups", "--medium", "m"],
            &["two", "--sftp", "nas", "--user", "havre", "--path", "/b", "--medium", "m"],
            &["two", "--folder", "/a", "--bucket", "backups", "--medium", "m"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
