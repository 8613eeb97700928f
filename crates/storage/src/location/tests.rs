use super::*;

fn open(uri: &str) -> Result<Location> {
    Location::open(uri, &StorageOptions::new())
}

#[test]
fn a_plain_path_and_its_uri_are_one_location() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("tab le/x%20y");
    let plain = open(path.to_str().unwrap()).unwrap();
    let uri = open(&plain.uri).unwrap();
    assert_eq!((&plain.uri, &plain.root, plain.kind), (&uri.uri, &uri.root, StoreKind::Local));
    assert!(plain.root.as_ref().ends_with("tab le/x%20y"), "{}", plain.root);
    assert!(plain.uri.starts_with("file:///") && plain.uri.ends_with("tab%20le/x%2520y"), "{}", plain.uri);
}

#[cfg(unix)]
#[test]
fn symbolic_links_are_resolved_when_a_location_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().canonicalize().unwrap().join("real");
    std::fs::create_dir(&real).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let through = open(link.join("t").to_str().unwrap()).unwrap();
    let direct = open(real.join("t").to_str().unwrap()).unwrap();
    assert_eq!(through.root, direct.root);
    let parent = open(folder.path().to_str().unwrap()).unwrap();
    assert_eq!(parent.child("link/t").unwrap().root, direct.root);
}

#[test]
fn a_child_has_the_same_store_and_a_longer_path() {
    let parent = open("memory://child-test/warehouse/").unwrap();
    let child = parent.child("sales/orders").unwrap();
    assert_eq!(child.uri, "memory://child-test/warehouse/sales/orders");
    assert_eq!(child.root.as_ref(), "warehouse/sales/orders");
    assert!(Arc::ptr_eq(&parent.store, &child.store));
}

#[test]
fn paths_do_not_leave_the_location() {
    let location = open("memory://escape-test/t").unwrap();
    for bad in ["", "a/", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "a\0b"] {
        let error = location.absolute(bad).unwrap_err();
        assert!(matches!(error, StorageError::InvalidLocation { .. }), "{bad:?}: {error}");
    }
    assert_eq!(location.absolute("a%2F..%2Fb").unwrap().as_ref(), "t/a%2F..%2Fb");
    assert_eq!(location.relative(&Path::from("t/x/y")).as_deref(), Some("x/y"));
    assert_eq!(location.relative(&Path::from("tx/y")), None);
}

#[test]
fn uris_that_carry_settings_or_unknown_schemes_are_refused_without_repeating_secrets() {
    for bad in
        ["", "ftp://host/x", "s3://user:canary@bucket/t", "file:///t?canary=1", "s3://b/t?sig=canary", "://canary"]
    {
        let error = open(bad).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

#[cfg(feature = "s3")]
mod s3 {
    use super::*;

    fn options() -> StorageOptions {
        StorageOptions::new()
            .with("AWS_ACCESS_KEY_ID", "canary-id-0815")
            .with("aws_secret_access_key", "canary-secret-4711")
            .with("aws_region", "eu-central-1")
    }

    #[test]
    fn s3a_is_s3() {
        let location = Location::open("s3a://bucket/a/t/", &options()).unwrap();
        assert_eq!(location.uri, "s3://bucket/a/t");
        assert_eq!(location.root.as_ref(), "a/t");
        assert_eq!(location.kind, StoreKind::S3);
        assert!(location.untested_conditional_put().is_none());
    }

    #[test]
    fn a_foreign_endpoint_has_to_prove_its_put_if_absent() {
        let with = |endpoint: &str| options().with("AWS_ENDPOINT", endpoint).with("AWS_ALLOW_HTTP", "true");
        let foreign = Location::open("s3://b/t", &with("http://127.0.0.1:9000")).unwrap();
        assert!(foreign.untested_conditional_put().is_some());
        let amazon = Location::open("s3://b/t", &with("https://s3.eu-central-1.amazonaws.com")).unwrap();
        assert!(amazon.untested_conditional_put().is_none());
    }

    #[test]
    fn an_unencrypted_endpoint_has_to_be_asked_for() {
        let error = Location::open("s3://b/t", &options().with("aws_endpoint", "http://127.0.0.1:9000")).unwrap_err();
        assert!(error.to_string().contains("aws_allow_http=true"), "{error}");
    }

    #[test]
    fn a_misspelt_option_is_refused_and_those_of_other_stores_are_not() {
        let error = Location::open("s3://b/t", &options().with("aws_regoin", "x")).unwrap_err();
        assert!(error.to_string().contains("aws_regoin"), "{error}");
        Location::open("s3://b/t", &options().with("azure_storage_account_name", "x")).unwrap();
    }

    #[test]
    fn credentials_never_appear_in_any_text() {
        let options = options()
            .with("aws_session_token", "canary-token-99")
            .with("aws_endpoint", "http://127.0.0.1:1")
            .with("aws_allow_http", "true");
        let location = Location::open("s3://bucket/t", &options).unwrap();
        let log = crate::LogStore::new(location.clone(), crate::Env::system());
        let data = crate::DataStore::new(location.clone(), crate::Env::system());
        let printed = format!("{options:?} {options} {location:?} {location} {log:?} {data:?}");
        let error = object_store::Error::Generic {
            store: "S3",
            source: "PUT https://h/k?X-Amz-Signature=canary-sig&a=b with canary-secret-4711 canary-id-0815".into(),
        };
        let error = location.error("write", "k", &error);
        let printed = format!("{printed} {error} {error:?}");
        assert!(!printed.contains("canary"), "{printed}");
        assert!(printed.contains("a=b"), "{printed}");
    }
}
