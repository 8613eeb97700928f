//! Stores in the cloud, from options.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use object_store::{BackoffConfig, RetryConfig};
use url::Url;

use super::{Location, StoreKind, invalid};
use crate::error::{Result, StorageError};
use crate::file_cache::FileCache;
use crate::options::{StorageOptions, TRUSTED_ROOTS};

/// Retries inside one request: enough to sit out a hiccup. What lasts longer is for the caller, who knows the operation.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(10),
            base: 2.,
        },
        max_retries: 6,
        retry_timeout: Duration::from_secs(60),
    }
}

/// Calls `apply` for each option that this store understands: first those of the environment, then those given.
///
/// A given option that belongs to another store is passed over, so that one set of options can serve several stores. One
/// that belongs to none is an error, because a misspelt setting would silently fall back to its default.
fn for_each_option<K: FromStr>(options: &StorageOptions, prefix: &str, mut apply: impl FnMut(K, &str)) -> Result<()> {
    for (name, value) in options.ambient().filter(|(name, _)| name.starts_with(prefix)) {
        if let Ok(key) = name.parse() {
            apply(key, value);
        }
    }
    for (name, value) in options.given() {
        match name.parse() {
            Ok(key) => apply(key, value),
            Err(_) if [CACHE_FOLDER, CACHE_BYTES, TRUSTED_ROOTS].contains(&name) => {}
            Err(_) if PREFIXES.iter().any(|other| *other != prefix && name.starts_with(other)) => {}
            Err(_) => {
                let known = KNOWN_OPTIONS.iter().copied().filter(|known| known.starts_with(prefix));
                let what = match floe_table_format::schema::nearest(name, known) {
                    Some(near) => format!("it is not known; did you mean {near}?"),
                    None => format!("it is not known; options of this store start with {prefix}"),
                };
                let key = floe_table_format::error::printable(name);
                return Err(StorageError::InvalidOption { key, what });
            }
        }
    }
    Ok(())
}

/// The option that names the folder of the cache, `none` for no cache.
const CACHE_FOLDER: &str = "floe_cache_dir";
/// The option that says how many bytes that folder may hold.
const CACHE_BYTES: &str = "floe_cache_bytes";
/// What it may hold where nothing else is said.
const CACHE_BYTES_DEFAULT: u64 = 4 << 30;

/// The cache that the options ask for: by default the folder `floe` where this user's programs keep what can be fetched
/// again. None for `floe_cache_dir = none`, and where there is no such folder.
fn cache_of(options: &StorageOptions) -> Result<Option<FileCache>> {
    let bytes_max = match options.get(CACHE_BYTES) {
        None => CACHE_BYTES_DEFAULT,
        Some(bytes) => bytes.trim().parse().map_err(|_| StorageError::InvalidOption {
            key: CACHE_BYTES.into(),
            what: "it is not a number of bytes".into(),
        })?,
    };
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let users = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    let folder = match options.get(CACHE_FOLDER).map(str::trim) {
        Some("none" | "") => return Ok(None),
        Some(folder) => PathBuf::from(folder),
        None => match users() {
            Some(folder) => folder.join("floe"),
            None => return Ok(None),
        },
    };
    Ok(FileCache::on_disk(folder, bytes_max))
}

const PREFIXES: [&str; 3] = ["aws_", "azure_", "google_"];

/// Option names to suggest from. The stores accept more spellings than these.
const KNOWN_OPTIONS: [&str; 42] = [
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "aws_region",
    "aws_default_region",
    "aws_endpoint",
    "aws_endpoint_url",
    "aws_allow_http",
    "aws_virtual_hosted_style_request",
    "aws_s3_express",
    "aws_imdsv1_fallback",
    "aws_metadata_endpoint",
    "aws_unsigned_payload",
    "aws_checksum_algorithm",
    "aws_web_identity_token_file",
    "aws_role_arn",
    "aws_role_session_name",
    "aws_endpoint_url_sts",
    "aws_skip_signature",
    "aws_conditional_put",
    "aws_request_payer",
    "aws_server_side_encryption",
    "aws_sse_kms_key_id",
    "aws_sse_bucket_key_enabled",
    "aws_timeout",
    "aws_connect_timeout",
    "aws_proxy_url",
    "azure_storage_account_name",
    "azure_storage_account_key",
    "azure_storage_client_id",
    "azure_storage_client_secret",
    "azure_storage_tenant_id",
    "azure_storage_sas_token",
    "azure_storage_token",
    "azure_storage_use_emulator",
    "azure_storage_endpoint",
    "azure_use_azure_cli",
    "azure_allow_http",
    "google_service_account",
    "google_service_account_key",
    "google_application_credentials",
    "google_base_url",
];

impl Location {
    fn in_cloud(
        store: Result<std::sync::Arc<dyn object_store::ObjectStore>, object_store::Error>,
        url: &Url,
        uri: String,
        kind: StoreKind,
        options: &StorageOptions,
    ) -> Result<Location> {
        let secrets = options.secrets();
        // A builder's error may quote an option's value.
        let store = store.map_err(|error| invalid(&uri, secrets.redact(&error.to_string())))?;
        let mut location = Location::parsed(store, url, uri, kind)?;
        location.secrets = secrets;
        location.cache = cache_of(options)?;
        Ok(location)
    }
}

/// The host of a URL: bucket or container.
fn bucket<'a>(url: &'a Url, uri: &str) -> Result<&'a str> {
    url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| invalid(uri, "it names no bucket"))
}

#[cfg(feature = "s3")]
impl Location {
    pub(super) fn s3(url: &Url, uri: String, options: &StorageOptions) -> Result<Location> {
        use std::sync::Arc;

        use object_store::ObjectStore;
        use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};

        let mut builder = AmazonS3Builder::new();
        for_each_option::<AmazonS3ConfigKey>(options, "aws_", |key, value| {
            builder = std::mem::take(&mut builder).with_config(key, value);
        })?;
        let endpoint = builder
            .get_config_value(&AmazonS3ConfigKey::S3Endpoint)
            .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint));
        if endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://")) {
            let allow = AmazonS3ConfigKey::Client(object_store::ClientConfigKey::AllowHttp);
            if builder.get_config_value(&allow).as_deref() != Some("true") {
                let what = "the endpoint is not encrypted; set aws_allow_http=true if that is meant";
                return Err(StorageError::InvalidOption { key: "aws_endpoint".into(), what: what.into() });
            }
        }
        let store = builder
            .with_bucket_name(bucket(url, &uri)?)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(retries())
            .build()
            .map(|store| Arc::new(store) as Arc<dyn ObjectStore>);
        let mut location = Location::in_cloud(store, url, uri, StoreKind::S3, options)?;
        if endpoint.is_some_and(|endpoint| !is_aws(&endpoint)) {
            location.conditional_put = Some(Arc::default());
        }
        Ok(location)
    }
}

/// Whether an endpoint is Amazon's own, whose put-if-absent is known to work.
#[cfg(feature = "s3")]
fn is_aws(endpoint: &str) -> bool {
    let host = Url::parse(endpoint).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"))
}

#[cfg(feature = "azure")]
impl Location {
    pub(super) fn azure(url: &Url, uri: String, options: &StorageOptions) -> Result<Location> {
        use std::sync::Arc;

        use object_store::ObjectStore;
        use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

        bucket(url, &uri)?;
        let mut builder = MicrosoftAzureBuilder::new();
        for_each_option::<AzureConfigKey>(options, "azure_", |key, value| {
            builder = std::mem::take(&mut builder).with_config(key, value);
        })?;
        let store = builder
            .with_url(uri.clone())
            .with_retry(retries())
            .build()
            .map(|store| Arc::new(store) as Arc<dyn ObjectStore>);
        Location::in_cloud(store, url, uri, StoreKind::Azure, options)
    }
}

#[cfg(feature = "gcs")]
impl Location {
    pub(super) fn gcs(url: &Url, uri: String, options: &StorageOptions) -> Result<Location> {
        use std::sync::Arc;

        use object_store::ObjectStore;
        use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};

        let mut builder = GoogleCloudStorageBuilder::new();
        for_each_option::<GoogleConfigKey>(options, "google_", |key, value| {
            builder = std::mem::take(&mut builder).with_config(key, value);
        })?;
        let store = builder
            .with_bucket_name(bucket(url, &uri)?)
            .with_retry(retries())
            .build()
            .map(|store| Arc::new(store) as Arc<dyn ObjectStore>);
        Location::in_cloud(store, url, uri, StoreKind::Gcs, options)
    }
}
