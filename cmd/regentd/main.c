/* regentd: the manager. Reads its configuration, then hands over to manager/shell.c. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/regentd/join.h"
#include "lib/log.h"
#include "manager/config.h"
#include "manager/shell.h"

/* X(long name, takes a value, value's name, help) */
#define OPTIONS(X)                                                                                                    \
    X(config, required_argument, "FILE", "run the manager of this configuration in the foreground")                   \
    X(check, required_argument, "FILE", "check a configuration file and exit")                                        \
    X(print-config, no_argument, "", "with --config: print it in normal form, with defaults, and exit")               \
    X(bootstrap, no_argument, "", "with --config: initialise the empty data directory of this first member and exit") \
    X(join, required_argument, "ADDR", "with --config: enter the group of the managers at ADDR[,ADDR...], then run")  \
    X(token-file, required_argument, "FILE", "with --join: the token that `regent token create` printed")             \
    X(standby, no_argument, "", "with --join: get the log, but stay without a vote")                                  \
    X(version, no_argument, "", "print the version and exit")                                                         \
    X(help, no_argument, "", "print this help and exit")

enum option_id {
    OPTION_CONFIG = 256,
    OPTION_CHECK,
    OPTION_PRINT,
    OPTION_BOOTSTRAP,
    OPTION_JOIN,
    OPTION_TOKEN_FILE,
    OPTION_STANDBY,
    OPTION_VERSION,
    OPTION_HELP,
};

static const struct option OPTION_TABLE[] = {
#define X(name, takes, value, help) {#name, takes, NULL, 0},
    OPTIONS(X)
#undef X
    {NULL, 0, NULL, 0},
};

static void print_help(FILE *out)
{
    fputs("regentd: a manager of Regent, the high-availability manager of MySQL and MariaDB\n\n"
          "usage: regentd --config FILE [--print-config | --bootstrap]\n"
          "       regentd --config FILE --join ADDR --token-file FILE [--standby]\n"
          "       regentd --check FILE\n\n", out);
#define X(name, takes, value, help) fprintf(out, "  --%-13s %-5s %s\n", #name, value, help);
    OPTIONS(X)
#undef X
    fputs("\nSee docs/config.md for the configuration and `regent --help` for the command line.\n", out);
}

struct arguments {
    const char *config, *check;
    struct join_options join;
    bool print, bootstrap, version, help;
};

/* Returns false after a usage error, which getopt or this function has told. */
static bool read_arguments(int argc, char **argv, struct arguments *a)
{
    int at = -1;
    for (;;) {
        int c = getopt_long(argc, argv, "", OPTION_TABLE, &at);
        if (c == -1) break;
        if (c != 0) return false;
        switch ((enum option_id)(OPTION_CONFIG + at)) {
        case OPTION_CONFIG: a->config = optarg; break;
        case OPTION_CHECK: a->check = optarg; break;
        case OPTION_PRINT: a->print = true; break;
        case OPTION_BOOTSTRAP: a->bootstrap = true; break;
        case OPTION_JOIN: a->join.addresses = optarg; break;
        case OPTION_TOKEN_FILE: a->join.token_file = optarg; break;
        case OPTION_STANDBY: a->join.standby = true; break;
        case OPTION_VERSION: a->version = true; break;
        case OPTION_HELP: a->help = true; break;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "regentd: unexpected argument '%s'\n", argv[optind]);
        return false;
    }
    if ((a->join.token_file || a->join.standby || a->join.addresses) &&
        (!a->join.addresses || !a->join.token_file || !a->config || a->print || a->bootstrap)) {
        fputs("regentd: --join ADDR and --token-file FILE go together, with --config FILE\n", stderr);
        return false;
    }
    if (a->version || a->help || (a->check && !a->config && !a->print && !a->bootstrap)) return true;
    if (a->config && !a->check && !(a->print && a->bootstrap)) return true;
    fputs("regentd: give --config FILE or --check FILE (regentd --help tells more)\n", stderr);
    return false;
}

static int fail(const struct err *e)
{
    fprintf(stderr, "regentd: %s\n", e->text);
    return 1;
}

static int check(const char *path)
{
    struct config config;
    struct err e = {0};
    if (config_read(&config, path, &e) != 0) return fail(&e);
    printf("%s: ok\n", path);
    return 0;
}

static int bootstrap(const struct config *config)
{
    struct err e = {0};
    if (shell_bootstrap(config, &e) != 0) return fail(&e);
    printf("%s is initialised as node %s of a group of %u\n", config->data_dir, config->node, config->group_n);
    return 0;
}

/* libuv's pool carries libraft's file operations and look-ups of names; its default of 4 threads lets them wait for
 * each other. */
static void size_pool(void)
{
    if (!getenv("UV_THREADPOOL_SIZE")) setenv("UV_THREADPOOL_SIZE", "16", 1);
}

int main(int argc, char **argv)
{
    static struct config config;
    struct arguments a = {0};
    struct err e = {0};
    if (!read_arguments(argc, argv, &a)) return 2;
    if (a.help) {
        print_help(stdout);
        return 0;
    }
    if (a.version) {
        puts("regentd " REGENT_VERSION);
        return 0;
    }
    if (a.check) return check(a.check);
    if (config_read(&config, a.config, &e) != 0) return fail(&e);
    if (a.print) {
        config_print(&config, stdout);
        return 0;
    }
    if (a.bootstrap) return bootstrap(&config);
    if (a.join.addresses && join(&config, &a.join, &e) != 0) return fail(&e);
    size_pool();
    log_init((enum log_level)log_level_parse(config.log_level), config.log_journal, config.node);
    if (shell_run(&config, &e) == 0) return 0;
    log_err("regentd.failed", "text=\"%s\"", e.text);
    return 1;
}
