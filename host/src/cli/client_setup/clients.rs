//! The clients that are known, with the variables and files that their own documentation names. `{url}` is Airlock's address.

/// A client.
pub(super) struct Client {
    /// Its name on the command line.
    pub name: &'static str,
    /// The wire APIs that it speaks.
    pub api: &'static str,
    /// Variables of the environment; none where it reads none.
    pub environment: &'static [(&'static str, &'static str)],
    /// Its configuration file, or its code.
    pub file: Where,
    /// What else to know.
    pub notes: &'static [&'static str],
}

/// A place for settings, and what stands there.
#[derive(Clone, Copy)]
pub(super) struct Where {
    pub name: &'static str,
    pub text: &'static str,
}

const OPENAI: &[(&str, &str)] = &[("OPENAI_BASE_URL", "{url}/v1")];
const ANTHROPIC: &[(&str, &str)] = &[("ANTHROPIC_BASE_URL", "{url}")];
const GEMINI: &[(&str, &str)] = &[("GOOGLE_GEMINI_BASE_URL", "{url}")];
const BOTH_APIS: &str = "chat completions, Responses";

pub(super) static CLIENTS: [Client; 15] = [
    Client {
        name: "openai",
        api: BOTH_APIS,
        environment: OPENAI,
        file: Where {
            name: "Python; the same in JavaScript with baseURL",
            text: "client = OpenAI(base_url=\"{url}/v1\")",
        },
        notes: &[],
    },
    Client {
        name: "anthropic",
        api: "Messages",
        environment: ANTHROPIC,
        file: Where {
            name: "Python; the same in JavaScript with baseURL",
            text: "client = Anthropic(base_url=\"{url}\")",
        },
        notes: &["Without /v1: the SDK adds it."],
    },
    Client {
        name: "claude-code",
        api: "Messages",
        environment: ANTHROPIC,
        file: Where {
            name: "~/.claude/settings.json",
            text: "{\n  \"env\": {\n    \"ANTHROPIC_BASE_URL\": \"{url}\"\n  }\n}",
        },
        notes: &[
            "Airlock's key, if it has any: ANTHROPIC_AUTH_TOKEN. Sessions are told apart by Claude Code's own header.",
        ],
    },
    Client {
        name: "codex",
        api: "Responses",
        environment: &[],
        file: Where {
            name: "~/.codex/config.toml",
            text: "model_provider = \"airlock\"\n\n[model_providers.airlock]\nname = \"Airlock\"\nbase_url = \"{url}/v1\"\n\
                   env_key = \"OPENAI_API_KEY\"\nwire_api = \"responses\"\nsupports_websockets = false",
        },
        notes: &[],
    },
    Client {
        name: "google-genai",
        api: "Gemini",
        environment: GEMINI,
        file: Where {
            name: "Python; in JavaScript httpOptions: { baseUrl }",
            text: "client = genai.Client(http_options=types.HttpOptions(base_url=\"{url}\"))",
        },
        notes: &["Without a version: the SDK adds it."],
    },
    Client {
        name: "ollama",
        api: "Ollama",
        environment: &[("OLLAMA_HOST", "{url}")],
        file: Where {
            name: "Python",
            text: "client = ollama.Client(host=\"{url}\")",
        },
        notes: &["OLLAMA_HOST is for clients: a server started with it would listen there."],
    },
    Client {
        name: "openai-agents",
        api: BOTH_APIS,
        environment: OPENAI,
        file: Where {
            name: "Python",
            text: "set_default_openai_client(AsyncOpenAI(base_url=\"{url}/v1\"))",
        },
        notes: &["Leave the transport at HTTP: a WebSocket is refused."],
    },
    Client {
        name: "langgraph",
        api: "chat completions, Responses, Messages",
        environment: &[
            ("OPENAI_BASE_URL", "{url}/v1"),
            ("ANTHROPIC_BASE_URL", "{url}"),
        ],
        file: Where {
            name: "Python",
            text: "model = ChatOpenAI(base_url=\"{url}/v1\")\nmodel = ChatAnthropic(base_url=\"{url}\")",
        },
        notes: &[
            "OPENAI_API_BASE and ANTHROPIC_API_URL, where they are set, go before these variables.",
        ],
    },
    Client {
        name: "google-adk",
        api: "Gemini",
        environment: GEMINI,
        file: Where {
            name: "Python",
            text: "agent = Agent(model=Gemini(model=\"gemini-2.5-flash\", base_url=\"{url}\"))",
        },
        notes: &[],
    },
    Client {
        name: "semantic-kernel",
        api: "chat completions",
        environment: OPENAI,
        file: Where {
            name: "Python",
            text: "service = OpenAIChatCompletion(async_client=AsyncOpenAI(base_url=\"{url}/v1\"))",
        },
        notes: &[],
    },
    Client {
        name: "agentscope",
        api: "chat completions, Responses, Messages",
        environment: &[
            ("OPENAI_BASE_URL", "{url}/v1"),
            ("ANTHROPIC_BASE_URL", "{url}"),
        ],
        file: Where {
            name: "Python: the base_url of the model's credential",
            text: "credential = OpenAICredential(api_key=\"...\", base_url=\"{url}/v1\")",
        },
        notes: &[],
    },
    Client {
        name: "pydantic-ai",
        api: "chat completions, Responses, Messages, Gemini",
        environment: &[
            ("OPENAI_BASE_URL", "{url}/v1"),
            ("ANTHROPIC_BASE_URL", "{url}"),
            ("GOOGLE_GEMINI_BASE_URL", "{url}"),
        ],
        file: Where {
            name: "Python",
            text: "model = OpenAIChatModel(\"...\", provider=OpenAIProvider(base_url=\"{url}/v1\"))",
        },
        notes: &[],
    },
    Client {
        name: "vercel-ai",
        api: "Responses, chat completions, Messages, Gemini",
        environment: &[
            ("OPENAI_BASE_URL", "{url}/v1"),
            ("ANTHROPIC_BASE_URL", "{url}/v1"),
        ],
        file: Where {
            name: "JavaScript",
            text: "createOpenAI({ baseURL: \"{url}/v1\" })\ncreateAnthropic({ baseURL: \"{url}/v1\" })\n\
                   createGoogleGenerativeAI({ baseURL: \"{url}/v1beta\" })",
        },
        notes: &["Its Anthropic provider takes the base URL with /v1, unlike Anthropic's own SDK."],
    },
    Client {
        name: "assistant-ui",
        api: "that of its back end",
        environment: OPENAI,
        file: Where {
            name: "the route of the back end (app/api/chat/route.ts)",
            text: "const openai = createOpenAI({ baseURL: \"{url}/v1\" });",
        },
        notes: &["The page talks to its back end alone: the back end is what is pointed here."],
    },
    Client {
        name: "litellm",
        api: "chat completions, Responses, Messages",
        environment: &[
            ("OPENAI_BASE_URL", "{url}/v1"),
            ("ANTHROPIC_BASE_URL", "{url}"),
        ],
        file: Where {
            name: "Python; in a proxy's config.yaml litellm_params.api_base",
            text: "litellm.completion(model=\"openai/...\", api_base=\"{url}/v1\")",
        },
        notes: &[],
    },
];
