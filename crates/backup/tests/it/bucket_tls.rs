//! A storage behind TLS with a certificate authority of its own: it is trusted where somebody says so, for its name only, and a certificate
//! that is not good enough is said at once.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use havre_backup::bucket::{Bucket, BucketLocation};
use havre_backup::restic::BucketRepository;
use havre_backup::{Repository, RepositoryError};
use havre_core::secret::Secret;
use havre_core::time::Timestamp;
use havre_x509::issuer::PretendIssuer;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::bucket_world::{BUCKET, QUICK, keys};
use crate::memory_storage::MemoryStorage;
use crate::world::{PASSWORD, noise, put};

/// Puts TLS for `localhost` before a storage; its port, and the root in PEM.
async fn with_tls(storage: &MemoryStorage) -> (u16, String) {
    let issuer = PretendIssuer::new("storage of a test").expect("is made");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("is later").as_millis();
    let now = i64::try_from(now).expect("is small");
    let (from, until) = (Timestamp::from_millis(now - 3_600_000), Timestamp::from_millis(now + 86_400_000));
    let name = "localhost".parse().expect("is a name");
    let material = issuer.issue(&[name], from, until).expect("is issued");
    let certificates = CertificateDer::pem_slice_iter(material.chain.as_bytes());
    let certificates = certificates.map(|one| one.expect("is one")).collect();
    let key = PrivateKeyDer::try_from(material.key.expose().to_vec()).expect("is a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("are there")
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .expect("fit together");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("has a port");
    let port = listener.local_addr().expect("has an address").port();
    let behind = storage.endpoint().trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut inner = TcpStream::connect(behind).await.expect("is there");
                // Either side may end it.
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut inner).await;
            });
        }
    });
    (port, issuer.root())
}

fn bucket(host: &str, port: u16) -> Bucket {
    let location = BucketLocation {
        endpoint: format!("https://{host}:{port}"),
        bucket: BUCKET.to_owned(),
        region: "us-east-1".to_owned(),
        prefix: None,
        path_style: true,
    };
    Bucket::new(&location, &keys()).expect("can be asked").with_limits(QUICK)
}

fn on(bucket: Bucket) -> Arc<dyn Repository> {
    Arc::new(BucketRepository::in_bucket(bucket, Secret::from(PASSWORD), Handle::current()))
}

#[tokio::test]
async fn an_authority_of_ones_own_counts_where_it_is_named() {
    let storage = MemoryStorage::start();
    let (port, root) = with_tls(&storage).await;
    let trusted = on(bucket("localhost", port).trusting(&root).expect("is an authority"));
    trusted.init().await.expect("is made");
    put(&trusted, 1, &noise(600_000, 1)).await;
    assert!(trusted.check().await.expect("is checked").is_empty());

    storage.fail(|_| None);
    let unknown = on(bucket("localhost", port)).open().await.expect_err("is nobody we know");
    let RepositoryError::Failed { reason, .. } = &unknown else { panic!("{unknown:?}") };
    assert!(reason.contains("certificate"), "{reason}");
    let another = bucket("127.0.0.1", port).trusting(&root).expect("is an authority");
    let another = on(another).open().await.expect_err("has another name");
    let RepositoryError::Failed { reason, .. } = &another else { panic!("{another:?}") };
    assert!(reason.contains("certificate"), "{reason}");
    assert_eq!(storage.behave(), 0, "nothing was asked");
}
