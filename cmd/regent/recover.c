/* `regent recover`: a new group out of one survivor, offline. See raft_node_recover(), fsm/recover.c, docs/recover.md.
 *
 * Tells first what will happen and to whom; goes on when the operator types the id of the old group. Failure modes: the
 * manager runs, the directory is another user's, the log is damaged, another id was typed: nothing is changed. */
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/regent/commands.h"
#include "cmd/regent/log.h"
#include "lib/base/text.h"
#include "lib/clock.h"
#include "raft/node.h"

static const struct log_member *newest_members(const struct log_image *image, struct log_configuration *c, unsigned *n)
{
    const struct log_snapshot *snapshot = log_newest(image);
    *n = 0;
    if (snapshot != NULL) *c = snapshot->configuration;
    if (snapshot != NULL) *n = c->n;
    for (size_t i = 0; i < image->entries_n; i++) {
        const struct log_entry *entry = &image->entries[i];
        if (entry->kind == LOG_ENTRY_CHANGE && log_configuration_decode(entry->data, entry->size, c)) *n = c->n;
    }
    return c->members;
}

static void print_plan(const struct log_dir *d)
{
    struct log_configuration c;
    unsigned n = 0;
    const struct log_member *members = newest_members(d->image, &c, &n);
    printf("The group of managers\n    id      %016" PRIx64 "\n    members", d->identity.group_id);
    for (unsigned i = 0; i < n; i++) printf(" %" PRIu64 " at %s%s", members[i].id, members[i].address,
                                            i + 1 < n ? "," : "\n");
    printf("\nThe survivor\n    id      %" PRIu64 " at %s\n    log     up to entry %" PRIu64 " of term %" PRIu64 "\n\n",
           d->identity.id, d->identity.address, log_last_index(d->image),
           log_term_at(d->image, log_last_index(d->image)));
    fputs("Do this only when a majority of these members is lost for ever. With any of them that can come back, start\n"
          "that instead. Of several survivors take the one with the highest term, then the longest log (run this on\n"
          "each and answer nothing to see them).\n\n"
          "What the lost ones committed last may be missing in this log. So all clusters come up paused: compare each\n"
          "with its servers, then resume it. The other members, should they ever come back, are refused by the new\n"
          "group; empty their data directories and let them join it as new members.\n\n", stdout);
}

/* What is written belongs to who writes it, and regentd must be able to read it. */
static bool is_owner(const char *dir)
{
    struct stat st;
    if (stat(dir, &st) != 0 || st.st_uid == geteuid()) return true; /* That it is not there is told later. */
    const struct passwd *owner = getpwuid(st.st_uid);
    fprintf(stderr, "regent: %s belongs to the user %s (%u): run this as that user, or regentd can not read what is "
            "written there; nothing was changed\n", dir, owner != NULL ? owner->pw_name : "?", (unsigned)st.st_uid);
    return false;
}

/* True when the operator typed the id of the old group. */
static bool is_confirmed(const struct log_dir *d)
{
    char line[64] = "", id[24];
    (void)snprintf(id, sizeof id, "%016" PRIx64, d->identity.group_id);
    printf("Type the id of the group to make a new one of this survivor: ");
    (void)fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL) line[0] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    putchar('\n');
    return text_equal(line, id);
}

static enum client_code recover(const char *dir)
{
    struct raft_node_identity now;
    struct err e = {0};
    char backup[STORAGE_PATH_MAX] = "";
    uint64_t group_id = clock_random() | 1;
    int rc = raft_node_recover(dir, group_id, backup, &e);
    if (rc == 0) rc = raft_node_identity(dir, &now, &e);
    if (rc != 0) {
        fprintf(stderr, "regent: %s\n", e.text);
        return CLIENT_FAILED;
    }
    printf("The new group has the id %016" PRIx64 " and one member. A copy of what was is in %s\n"
           "Next: start regentd here; `regent status`; compare, and `regent cluster resume` each cluster; then let new "
           "managers join (`regent member add`).\n", now.group_id, backup);
    return CLIENT_OK;
}

enum client_code run_recover(const struct cli *cli)
{
    struct log_dir d;
    if (cli->data_dir == NULL || !cli->survivor) {
        fputs("regent: recover wants --data-dir DIR and --survivor: a manager's own backup, disk or host is better "
              "where there is one; see docs/recover.md\n", stderr);
        return CLIENT_USAGE;
    }
    if (!is_owner(cli->data_dir) || !log_dir_open(&d, cli->data_dir)) return CLIENT_FAILED;
    bool is_good = d.identity.id != 0 && d.image->problem[0] == '\0';
    if (is_good) print_plan(&d);
    else fprintf(stderr, "regent: %s is no survivor: %s; nothing was changed\n", d.path,
                 d.identity.id == 0 ? "its file 'node' can not be read" : d.image->problem);
    bool is_wanted = is_good && is_confirmed(&d);
    log_dir_close(&d);
    if (is_wanted) return recover(cli->data_dir);
    if (is_good) fputs("regent: that is not the id of the group: nothing was changed\n", stderr);
    return CLIENT_FAILED;
}
