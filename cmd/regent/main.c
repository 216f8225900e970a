/* regent, the command line: understands what was typed, then runs one command (run.c). */
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/regent/commands.h"
#include "lib/base/text.h"

static enum client_code usage(const struct command *command, const char *format, ...) REGENT_PRINTF(2, 3);

static enum client_code usage(const struct command *command, const char *format, ...)
{
    va_list args;
    fputs("regent: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nSee `regent %s%s--help`.\n", command != NULL ? command->words : "", command != NULL ? " " : "");
    return CLIENT_USAGE;
}

enum { DAYS_MAX = 36500, TTL_MAX_S = 30 * 86400 };

/* Words on the line that are no options, in their order. */
struct words {
    const char *list[10];
    unsigned n;
    unsigned options; /* Seen, as bits. */
};

static enum client_code take_number(uint64_t *to, const char *option, const char *value, uint64_t most)
{
    if (text_to_u64(value, to) && *to != 0 && *to <= most) return CLIENT_OK;
    return usage(NULL, "--%s wants a number from 1 to %" PRIu64 ", not \"%s\"", option, most, value);
}

/* "90s", "30m", "1h", "30d" */
static enum client_code take_ttl(struct cli *cli, const char *value)
{
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char number[24];
    size_t len = strlen(value);
    uint64_t n = 0;
    if (len >= 2 && len < sizeof(number)) {
        memcpy(number, value, len - 1);
        number[len - 1] = '\0';
        for (size_t i = 0; i < ARRAY_LEN(units) && cli->ttl_s == 0; i++)
            if (value[len - 1] == units[i].unit && text_to_u64(number, &n) && n <= TTL_MAX_S / units[i].seconds)
                cli->ttl_s = n * units[i].seconds;
    }
    if (cli->ttl_s > 0) return CLIENT_OK;
    return usage(NULL, "--ttl wants a time like 90s, 30m, 1h or 7d, at most 30d, not \"%s\"", value);
}

static enum client_code take_host(struct cli *cli, const char *value)
{
    if (cli->hosts_n == ARRAY_LEN(cli->hosts)) return usage(NULL, "--host: that many at most: %u", cli->hosts_n);
    cli->hosts[cli->hosts_n++] = value;
    return CLIENT_OK;
}

static enum client_code take_option(struct cli *cli, enum option option, const char *value)
{
    switch (option) {
    case OPTION_FOLLOW: cli->follow = true; break;
    case OPTION_DRY_RUN: cli->dry_run = true; break;
    case OPTION_ACCEPT_LOSS: cli->accept_loss = true; break;
    case OPTION_YES: cli->yes = true; break;
    case OPTION_JSON: cli->json = true; break;
    case OPTION_TO: cli->to = value; break;
    case OPTION_CONNECT: cli->connect = value; break;
    case OPTION_TLS_DIR: cli->tls_dir = value; break;
    case OPTION_DIR: cli->dir = value; break;
    case OPTION_DATA_DIR: cli->data_dir = value; break;
    case OPTION_SURVIVOR: cli->survivor = true; break;
    case OPTION_TTL: return take_ttl(cli, value);
    case OPTION_HOST: return take_host(cli, value);
    case OPTION_ID: return take_number(&cli->id, "id", value, INT64_MAX);
    case OPTION_DAYS: return take_number(&cli->days, "days", value, DAYS_MAX);
    case OPTION_LAST:
        if (!text_to_u64(value, &cli->last) || cli->last == 0)
            return usage(NULL, "--last wants a number of events, not \"%s\"", value);
        break;
    case OPTION_HELP:
    case OPTION_MAN:
    case OPTIONS_N: break;
    }
    return CLIENT_OK;
}

static int find_option(const char *name, size_t len)
{
    for (int o = 0; o < OPTIONS_N; o++)
        if (strlen(option_texts[o].name) == len && strncmp(option_texts[o].name, name, len) == 0) return o;
    return -1;
}

/* One word that begins with "--". Moves '*i' on when the option's argument is the next word. */
static enum client_code parse_option(struct cli *cli, struct words *words, int argc, char **argv, int *i)
{
    const char *name = argv[*i] + 2;
    size_t len = strcspn(name, "=");
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    int o = find_option(name, len);
    if (o < 0) {
        char word[64];
        (void)text_copy(word, len < sizeof(word) ? len + 1 : sizeof(word), name);
        const char *near = nearest_option(word);
        return near != NULL ? usage(NULL, "there is no option %s; did you mean --%s?", argv[*i], near)
                            : usage(NULL, "there is no option %s", argv[*i]);
    }
    const struct option_text *t = &option_texts[o];
    if (t->argument == NULL && value != NULL) return usage(NULL, "--%s takes no value", t->name);
    if (t->argument != NULL && value == NULL) {
        if (*i + 1 >= argc) return usage(NULL, "--%s wants a value: %s", t->name, t->argument);
        value = argv[++*i];
    }
    words->options |= 1u << o;
    return take_option(cli, (enum option)o, value);
}

/* How many of the words name 'command': 0 when they do not. */
static unsigned words_matched(const struct command *command, const struct words *words)
{
    const char *space = strchr(command->words, ' ');
    size_t len = space != NULL ? (size_t)(space - command->words) : strlen(command->words);
    if (words->n == 0 || strlen(words->list[0]) != len || strncmp(words->list[0], command->words, len) != 0) return 0;
    if (space == NULL) return 1;
    return words->n > 1 && strcmp(words->list[1], space + 1) == 0 ? 2 : 0;
}

/* "plan" alone, or with a word that it does not know: tells which it knows. */
static bool print_family(const char *word)
{
    unsigned n = 0;
    size_t len = strlen(word);
    for (unsigned i = 0; i < commands_n; i++) {
        if (strncmp(commands[i].words, word, len) != 0 || commands[i].words[len] != ' ') continue;
        if (n++ == 0) fprintf(stderr, "regent: `%s` is followed by one of: %s", word, commands[i].words + len + 1);
        else fprintf(stderr, ", %s", commands[i].words + len + 1);
    }
    if (n > 0) fputs("\nSee `regent --help`.\n", stderr);
    return n > 0;
}

static enum client_code unknown_command(const struct words *words)
{
    if (print_family(words->list[0])) return CLIENT_USAGE;
    const char *near = nearest_command(words->list[0]);
    if (near != NULL) return usage(NULL, "there is no command \"%s\"; did you mean `regent %s`?", words->list[0], near);
    return usage(NULL, "there is no command \"%s\"", words->list[0]);
}

/* The command that the words name gets the rest of them as arguments. */
static enum client_code take_words(struct cli *cli, const struct words *words)
{
    unsigned used = 0;
    for (unsigned i = 0; i < commands_n && used == 0; i++) {
        used = words_matched(&commands[i], words);
        if (used > 0) cli->command = &commands[i];
    }
    if (used == 0) return unknown_command(words);
    const struct command *c = cli->command;
    if ((words->options & OPTION_BIT(HELP)) != 0) return CLIENT_OK;
    for (unsigned o = 0; o < OPTIONS_N; o++)
        if ((words->options & ~(OPTIONS_GLOBAL | c->options) & (1u << o)) != 0)
            return usage(c, "`%s` does not take --%s", c->words, option_texts[o].name);
    unsigned n = words->n - used;
    if (n < c->args_min) return usage(c, "`%s` wants %s", c->words, c->args);
    if (n > c->args_max) return usage(c, "`%s`: \"%s\" is too much", c->words, words->list[used + c->args_max]);
    MUST(n <= ARRAY_LEN(cli->args));
    for (unsigned i = 0; i < n; i++) cli->args[i] = words->list[used + i];
    cli->args_n = n;
    return CLIENT_OK;
}

/* What the options --connect and --tls-dir would say. */
static void take_environment(struct cli *cli)
{
    const char *connect = getenv("REGENT_CONNECT"), *tls_dir = getenv("REGENT_TLS_DIR");
    cli->connect = connect != NULL && connect[0] != '\0' ? connect : CONNECT_DEFAULT;
    cli->tls_dir = access(TLS_DIR_DEFAULT, F_OK) == 0 ? TLS_DIR_DEFAULT : "";
    if (tls_dir != NULL) cli->tls_dir = tls_dir;
}

enum client_code parse_command_line(struct cli *cli, int argc, char **argv, bool *done)
{
    struct words words = {0};
    bool only_words = false;
    *done = false;
    memset(cli, 0, sizeof(*cli));
    take_environment(cli);
    for (int i = 1; i < argc; i++) {
        enum client_code code = CLIENT_OK;
        if (!only_words && strcmp(argv[i], "--") == 0) only_words = true;
        else if (!only_words && strcmp(argv[i], "-h") == 0) words.options |= OPTION_BIT(HELP);
        else if (!only_words && strncmp(argv[i], "--", 2) == 0) code = parse_option(cli, &words, argc, argv, &i);
        else if (!only_words && argv[i][0] == '-') code = usage(NULL, "there is no option %s", argv[i]);
        else if (words.n < ARRAY_LEN(words.list)) words.list[words.n++] = argv[i];
        if (code != CLIENT_OK) return code;
    }
    if ((words.options & OPTION_BIT(MAN)) != 0 || ((words.options & OPTION_BIT(HELP)) != 0 && words.n == 0)) {
        *done = true;
        (words.options & OPTION_BIT(MAN)) != 0 ? print_man(stdout) : print_help(stdout);
        return CLIENT_OK;
    }
    if (words.n == 0) return usage(NULL, "what shall be done? Try `regent status`");
    enum client_code code = take_words(cli, &words);
    if (code == CLIENT_OK && (words.options & OPTION_BIT(HELP)) != 0) {
        *done = true;
        print_command_help(stdout, cli->command);
    }
    return code;
}

int main(int argc, char **argv)
{
    struct cli cli;
    bool done;
    (void)setlocale(LC_CTYPE, ""); /* For the lines of trees; without it they are ASCII. */
    enum client_code code = parse_command_line(&cli, argc, argv, &done);
    MUST(code != CLIENT_OK || done || cli.command != NULL);
    if (code == CLIENT_OK && !done) code = cli.command->run(&cli);
    if (fflush(stdout) != 0 && code == CLIENT_OK) {
        fprintf(stderr, "regent: cannot write: %s\n", strerror(errno));
        code = CLIENT_FAILED;
    }
    return (int)code;
}
