//! One mistake in each file.

use super::written::problems;

/// The file, the line and column of the first problem, and words that its message must have.
#[test]
fn each_mistake_is_told_with_its_place_and_what_to_do() {
    let upstream = "[upstream.a]\nbase_url = \"https://a.example/v1\"\n";
    for (text, line, column, words) in [
        (
            "[gateway]\nlisten = 4100\n",
            2,
            10,
            &["gateway", "127.0.0.1:4100"][..],
        ),
        (
            "[gateway]\nlisten = \"4100\"\n",
            2,
            10,
            &["address", "127.0.0.1:4100"],
        ),
        (
            "[gateway]\nlisen = \"127.0.0.1:1\"\n",
            2,
            1,
            &["lisen", "did you mean `listen`"],
        ),
        (
            "[gatway]\n",
            1,
            2,
            &["section `gatway`", "did you mean `gateway`"],
        ),
        ("[zzz]\n", 1, 2, &["section `zzz`", "gateway, admin"]),
        (
            "[gateway]\nmax_body_bytes = \"big\"\n",
            2,
            18,
            &["whole number"],
        ),
        ("[gateway]\nmax_body_bytes = -1\n", 2, 18, &["whole number"]),
        (
            "[gateway]\npass_paths = [\"/v1/chat/completions\"]\n",
            2,
            15,
            &["unjudged", "Remove"],
        ),
        (
            "[gateway]\npass_paths = [\"/v1/a\", \"audio\"]\n",
            2,
            24,
            &["/v1/audio"],
        ),
        (
            "[gateway]\nallowed_origins = [\"*\"]\n",
            2,
            20,
            &["https://"],
        ),
        (
            "[admin]\nlisten = \"127.0.0.1:4100\"\n",
            2,
            10,
            &["another port"],
        ),
        (
            "[data]\ncapture = \"ful\"\n",
            2,
            11,
            &["ful", "did you mean `full`"],
        ),
        (
            "[data]\ncapture = \"everything\"\n",
            2,
            11,
            &["everything", "redacted"],
        ),
        ("[upstream.a]\n", 1, 1, &["base_url", "missing", "add"]),
        (
            "[upstream.a]\nbase_url = \"api.openai.com\"\n",
            2,
            12,
            &["https://api.openai.com/v1"],
        ),
        (
            "[upstream.a]\nbase_url = \"ftp://a/v1\"\n",
            2,
            12,
            &["http"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://me:pw@a/v1\"\n",
            2,
            12,
            &["key"],
        ),
        (
            "[upstream.a]\nbase_url = \"http://localhost:4100/v1\"\n",
            2,
            12,
            &["Airlock's own address"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1?api-version=1&key=x\"\n",
            2,
            12,
            &["credentials", "key"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\nheader = \"api-key\"\n",
            3,
            10,
            &["no key", "env:NAME"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\nheader = \"api key\"\n",
            3,
            10,
            &["header", "api-key"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\nproxy = \"socks5://a\"\n",
            3,
            9,
            &["http and https", "http://proxy"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\nproxy = \"http://me:pw@a\"\n",
            3,
            9,
            &["credentials", "HTTPS_PROXY"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\nclient_cert_file = \"a.pem\"\n",
            3,
            20,
            &["private key", "client_key_file"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\nclient_key_file = \"a.pem\"\n",
            3,
            19,
            &["certificate", "client_cert_file"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\nkey = \"sk-123\"\n",
            3,
            7,
            &["env:NAME", "file:/path"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\napi_key = \"sk-123\"\n",
            3,
            1,
            &["by reference", "env:NAME"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\ncredential = \"own\"\n",
            3,
            14,
            &["needs a key", "env:NAME"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\ncredential = \"forward\"\nkey = \"env:K\"\n",
            4,
            7,
            &["never used", "remove"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\nidle_timeout_ms = 0\n",
            3,
            19,
            &["1 to"],
        ),
        (
            "[upstream.a]\nbase_url = \"https://a/v1\"\nretries = 50\n",
            3,
            11,
            &["at most 10"],
        ),
        (
            "upstream = \"https://a/v1\"\n",
            1,
            12,
            &["[upstream.<name>]"],
        ),
        ("[route]\nmodel = \"*\"\n", 1, 1, &["[[route]]"]),
        (
            &format!("{upstream}[[route]]\nmodel = \"*\"\nupstream = \"b\"\n"),
            5,
            12,
            &["unknown upstream `b`"],
        ),
        (
            &format!("{upstream}[[route]]\nmodel = \"\"\nupstream = \"a\"\n"),
            4,
            9,
            &["\"*\""],
        ),
        (
            &format!("{upstream}[[route]]\nmodel = \"*\"\nupstream = \"a\"\nfallback = [\"a\"]\n"),
            6,
            13,
            &["tried already"],
        ),
        ("[policy.Blocklist]\n", 1, 1, &["a-z"]),
        (
            "[policy.x]\nmode = \"enforced\"\n",
            2,
            8,
            &["did you mean `enforce`"],
        ),
        (
            "[policy.x.grants]\nactions = [\"blok\"]\n",
            2,
            12,
            &["did you mean `block`"],
        ),
        (
            "[policy.x.grants]\nsees = [\"txt\"]\n",
            2,
            9,
            &["did you mean `text`"],
        ),
        (
            "[policy.x]\ndigest = \"abc\"\n",
            2,
            10,
            &["64", "sha256sum"],
        ),
        ("[limits]\ncpu_ms = 0\n", 2, 10, &["default"]),
        (
            "[machine]\nagent_pid = 7\nagent_cgroup = \"/sys/fs/cgroup/a\"\n",
            3,
            16,
            &["agent_pid", "keep one"],
        ),
        ("[machine]\nagent_pid = 0\n", 2, 13, &["no process"]),
        (
            "[machine]\nagent_pidfile = \"a\"\n",
            2,
            1,
            &["did you mean `agent_pid_file`"],
        ),
        (
            "[session]\nhibernate_seconds = 0\n",
            2,
            21,
            &["the default is 60"],
        ),
        (
            "[[on_finding]]\nkind = \"a\"\naction = \"blok\"\n",
            3,
            10,
            &["did you mean `block`"],
        ),
        (
            "[[on_finding]]\nkind = \"a\"\naction = \"annotate\"\nmode = \"soft\"\n",
            1,
            1,
            &["`mode`", "remove"],
        ),
        (
            "[[on_finding]]\nkind = \"a\"\naction = \"inject\"\n",
            1,
            1,
            &["message"],
        ),
        (
            "[[on_finding]]\nkind = \"a*b\"\naction = \"annotate\"\n",
            1,
            1,
            &["trailing *"],
        ),
        (
            "[[on_finding]]\nkind = \"a\"\naction = \"alert\"\nwebhook = \"ops\"\n",
            4,
            11,
            &["unknown webhook `ops`"],
        ),
        (
            "[people]\nwebhook = \"ops\"\n",
            2,
            11,
            &["unknown webhook `ops`"],
        ),
        (
            "[people]\nmax_wait_minutes = 1441\n",
            2,
            20,
            &["people.max_wait_minutes", "1 to 1440"],
        ),
        (
            "[people]\nmax_open = 0\n",
            2,
            12,
            &["people.max_open", "at least 1"],
        ),
        (
            "[webhook.ops]\nurl = \"https://a\"\nheader = \"x-key\"\n",
            3,
            10,
            &["by reference"],
        ),
        ("[session]\nmax_cost_usd = -1.0\n", 2, 16, &["0 (no limit)"]),
        (
            "[[rule]]\nwhen = \"vitals.elapsd > 5\"\ndo = \"stop\"\n",
            2,
            15,
            &["rule[0].when", "did you mean `elapsed`"],
        ),
        (
            "[[rule]]\nwhen = \"\"\"\ntrue\n  && request.modell == 'a'\"\"\"\ndo = \"stop\"\n",
            4,
            13,
            &["did you mean `model`"],
        ),
        (
            "[[rule]]\nwhen = \"session.tenant == \\\"a\\\" && )\"\ndo = \"stop\"\n",
            2,
            36,
            &["this is no CEL"],
        ),
        (
            "[[rule]]\nwhen = \"true\"\ndo = \"stopp\"\n",
            3,
            6,
            &["did you mean `stop`"],
        ),
        (
            "[[rule]]\nwhen = \"true\"\ndo = \"stop\"\nmesage = \"a\"\n",
            4,
            1,
            &["did you mean `message`"],
        ),
        (
            "[[rule]]\nwhen = \"true\"\ndo = \"stop\"\nwebhook = \"a\"\n",
            1,
            1,
            &["`webhook` means nothing for stop"],
        ),
        (
            "[[rule]]\nwhen = \"true\"\ndo = \"stop\"\nmode = \"hard\"\n",
            4,
            8,
            &["unknown word `hard`"],
        ),
        (
            "[[rule]]\nwhen = \"true\"\ndo = \"stop\"\nat = [\"requests\"]\n",
            4,
            7,
            &["did you mean `request`"],
        ),
        (
            "[[rule]]\nwhen = \"tool.failed\"\ndo = \"stop\"\nat = [\"request\"]\n",
            4,
            6,
            &["leave `at` out"],
        ),
        (
            "[[rule]]\nwhen = \"true\"\ndo = \"route\"\nupstream = \"nowhere\"\n",
            4,
            12,
            &["unknown upstream `nowhere`"],
        ),
        (
            "[[rule]]\nwhen = \"true\"\ndo = \"alert\"\nwebhook = \"ops\"\n",
            4,
            11,
            &["unknown webhook `ops`"],
        ),
        (
            "[[rule]]\nwhen = \"true\"\ndo = \"set-parameters\"\n",
            1,
            1,
            &["needs `parameters`"],
        ),
        (
            "[[rule]]\nname = \"a\"\nwhen = \"true\"\ndo = \"stop\"\n[[rule]]\nname = \"a\"\nwhen = \"true\"\ndo = \"stop\"\n",
            6,
            8,
            &["another rule is named `a`"],
        ),
        (
            "[[rule]]\nwhen = \"true\"\ndo = \"stop\"\nmode = \"observe\"\non_failure = \"closed\"\n",
            1,
            1,
            &["cannot fail closed"],
        ),
        (
            "[price.\"m\"]\ninput = 1\noutput = nan\n",
            3,
            10,
            &["per million"],
        ),
        ("[gateway\nlisten = 1\n", 1, 9, &["not TOML"]),
        ("[gateway]\n\"é\" = 1 1\n", 2, 7, &["not TOML"]),
    ] {
        let problems = problems(text);
        let first = &problems.problems[0];
        let shown = problems.to_string();
        assert_eq!(
            (first.line, first.column),
            (line, column),
            "{text}\n{shown}"
        );
        assert!(
            shown.starts_with(&format!("/etc/airlock.toml:{line}:{column}: ")),
            "{shown}"
        );
        for word in words {
            assert!(shown.contains(word), "{text}\nlacks {word:?}: {shown}");
        }
    }
}
