use super::*;

fn read(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_map(pairs.iter().copied())
}

fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
    read(pairs).unwrap_err().problems
}

#[test]
fn nothing_set_gives_the_documented_defaults() {
    let config = read(&[]).unwrap();
    assert_eq!(config.http.bind, "127.0.0.1:8000".parse().unwrap());
    assert_eq!(config.data_dir, PathBuf::from("./data"));
    assert_eq!(config.environment, Environment::Development);
    assert_eq!(config.auth.access_token_ttl, Duration::from_secs(60));
    assert_eq!(config.auth.refresh_token_ttl, Duration::from_secs(172_800));
    assert_eq!(config.auth.otp_ttl, Duration::from_secs(300));
    assert_eq!(config.recharge.max_topup_paise, 5_000_000);
    assert_eq!(config.recharge.max_wallet_balance_paise, None);
    assert_eq!(config.recharge.max_queued_plans, 12);
    assert_eq!(config.recharge.wallet_shards, 2);
    assert_eq!(config.http.ip_requests_per_minute, 0);
    assert_eq!(config.telemetry.access_log, Some(PathBuf::from("./data/access.log")));
    assert!(config.auth.secret_key.is_none() && !config.auth.dev_otp);
    assert_eq!(config.timezone, chrono_tz::Asia::Kolkata);
}

#[test]
fn every_bad_value_is_named_at_once() {
    let found = problems(&[
        ("GENCHARGE_BIND", "here"),
        ("GENCHARGE_OTP_TTL", "5 minutes"),
        ("GENCHARGE_MAX_TOPUP", "1e5"),
        ("GENCHARGE_WALLET_SHARDS", "0"),
        ("GENCHARGE_LOG", "gencharge=loud"),
        ("GENCHARGE_TIMEZONE", "Asia/Atlantis"),
    ]);
    for name in ["BIND", "OTP_TTL", "MAX_TOPUP", "WALLET_SHARDS", "LOG", "TIMEZONE"] {
        let start = format!("GENCHARGE_{name}: expected ");
        assert!(found.iter().any(|problem| problem.starts_with(&start)), "{name} in {found:?}");
    }
    assert_eq!(found.len(), 6);
}

#[test]
fn durations_take_one_number_and_one_unit() {
    for (text, seconds) in [("60s", 60), ("5m", 300), ("2h", 7200), ("2d", 172_800)] {
        assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
    }
    for text in ["", "60", "s", "0s", "-5s", "+5s", "1.5h", "5 m", "5M", "99999999999999999999d", "४s", "5é"]
    {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}

#[test]
fn rupees_become_paise_without_floats() {
    for (text, paise) in [("0", 0), ("50000", 5_000_000), ("199.5", 19_950), ("199.05", 19_905)] {
        assert_eq!(parse_rupees(text), Ok(paise));
    }
    for text in ["", ".5", "1.", "1.234", "-1", "1e3", "1,000", "१००", "99999999999"] {
        assert!(parse_rupees(text).is_err(), "{text}");
    }
    assert_eq!(problems(&[("GENCHARGE_MAX_TOPUP", "0")]).len(), 1);
}

#[test]
fn an_unknown_name_is_refused_with_the_nearest_one() {
    assert_eq!(
        problems(&[("GENCHARGE_ACCES_TOKEN_TTL", "60s")]),
        ["GENCHARGE_ACCES_TOKEN_TTL: no such setting; did you mean GENCHARGE_ACCESS_TOKEN_TTL?"]
    );
    assert_eq!(
        problems(&[("GENCHARGE_COFFEE_MACHINE_PORT", "1")]),
        ["GENCHARGE_COFFEE_MACHINE_PORT: no such setting"]
    );
    assert!(read(&[("HOME", "/root"), ("GENCHARGE_TEST_DATABASE_URL", "x")]).is_ok());
}

#[test]
fn production_wants_what_matters_and_refuses_trials() {
    let found = problems(&[("GENCHARGE_ENV", "production"), ("GENCHARGE_DEV_OTP", "1")]);
    for name in ["SECRET_KEY", "DEV_OTP", "SMS_URL", "PAYMENT_GATEWAY"] {
        assert!(found.iter().any(|problem| problem.starts_with(&format!("GENCHARGE_{name}: "))), "{name}");
    }
    assert_eq!(found.len(), 4);
    let config = read(&[
        ("GENCHARGE_ENV", "production"),
        ("GENCHARGE_SECRET_KEY", "0123456789abcdef0123456789abcdef"),
        ("GENCHARGE_SMS_URL", "https://sms.example.com"),
        ("GENCHARGE_PAYMENT_GATEWAY", "sandbox"),
    ])
    .unwrap();
    assert_eq!(config.http.ip_requests_per_minute, 600);
}

#[test]
fn secrets_are_shown_nowhere() {
    let key = "correct-horse-battery-staple-0123456789";
    let url = "postgres://app:hunter2@db/gencharge";
    let config = read(&[("GENCHARGE_SECRET_KEY", key), ("DATABASE_URL", url)]).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("horse") && !shown.contains("hunter2"));
    assert_eq!(config.postgres.database_url.unwrap().expose(), url);
    for bad in [("DATABASE_URL", "mysql://app:hunter2@db/x"), ("GENCHARGE_SECRET_KEY", "hunter2")] {
        assert!(!problems(&[bad])[0].contains("hunter2"));
    }
}

#[test]
fn lists_networks_and_origins() {
    let config = read(&[
        ("GENCHARGE_TRUSTED_PROXIES", "10.0.0.0/8, ::1,0.0.0.0/0"),
        ("GENCHARGE_CORS_ORIGINS", "https://Shop.example.com, http://localhost:5173"),
        ("GENCHARGE_ACCESS_LOG", "off"),
    ])
    .unwrap();
    let [ten, local, all] = config.http.trusted_proxies[..] else { panic!("three networks") };
    assert!(ten.contains("10.9.8.7".parse().unwrap()) && !ten.contains("11.0.0.1".parse().unwrap()));
    assert!(ten.contains("::ffff:10.1.1.1".parse().unwrap()));
    assert!(local.contains("::1".parse().unwrap()) && !local.contains("::2".parse().unwrap()));
    assert!(all.contains("203.0.113.9".parse().unwrap()) && !all.contains("::2".parse().unwrap()));
    assert_eq!(config.http.cors_origins, ["https://shop.example.com", "http://localhost:5173"]);
    assert_eq!(config.telemetry.access_log, None);
    for bad in ["*", "shop.example.com", "https://a/b", "https://"] {
        assert_eq!(problems(&[("GENCHARGE_CORS_ORIGINS", bad)]).len(), 1, "{bad}");
    }
}

#[test]
fn blank_is_the_same_as_not_set() {
    let config =
        read(&[("GENCHARGE_BIND", ""), ("DATABASE_URL", "  "), ("GENCHARGE_SECRET_KEY", "")]).unwrap();
    assert!(config.postgres.database_url.is_none() && config.auth.secret_key.is_none());
}

#[test]
fn the_example_file_names_every_setting_with_its_default() {
    let example = include_str!("../../.env.example");
    let listed: Vec<(&str, &str)> = example
        .lines()
        .map(|line| line.strip_prefix("# ").or_else(|| line.strip_prefix('#')).unwrap_or(line))
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| {
            name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        })
        .collect();
    let known: Vec<(&str, &str)> = SETTINGS.iter().map(|setting| (setting.name, setting.default)).collect();
    assert_eq!(listed, known);
    for setting in SETTINGS {
        assert!(example.contains(setting.about), "what {} does", setting.name);
    }
}

#[test]
fn a_development_key_is_made_once_and_kept() {
    let folder = std::env::temp_dir().join(format!("gencharge-key-{}", std::process::id()));
    let config = read(&[("GENCHARGE_DATA_DIR", folder.to_str().unwrap())]).unwrap();
    let first = secret_key(&config).unwrap();
    assert_eq!(first.expose().len(), 64);
    assert_eq!(secret_key(&config).unwrap(), first);
    let path = folder.join("secret.key");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert!(matches!(secret_key(&config), Err(SecretKeyError::Readable(_))));
    std::fs::remove_dir_all(&folder).unwrap();
}
