/* The check before each start. What it finds stops the start: a node that forgot something must not come back under its
 * id, since the others count on what it acknowledged; re-added under a new id it gets all from the leader. */
#include "raft/preflight.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static int corrupt(const char *dir, const char *what, struct err *e)
{
    return err_set(e, -EBADMSG, "the log under data_dir %s is corrupt (%s): move %s away and re-add this node to the "
                   "group under a new id; do not repair it by hand", dir, what, dir);
}

/* metadata = seal, or the one next step that a crash came after. libraft also writes what is there already: a new term
 * is one version, "no vote yet" in it another. */
static bool is_vote_kept(const struct log_image *image, const struct seal_state *seal)
{
    if (image->metadata_version == seal->version) return image->term == seal->term && image->vote == seal->vote;
    if (image->metadata_version != seal->version + 1) return false;
    if (image->term == seal->term) return seal->vote == 0 || image->vote == seal->vote;
    return image->term > seal->term && image->vote == 0;
}

int preflight_compare(const struct log_image *image, const struct seal_state *seal, struct err *e)
{
    char what[ERR_TEXT_SIZE];
    struct err *text = &(struct err){0};
    uint64_t last = log_last_index(image);
    uint64_t term = log_term_at(image, seal->index);
    if (last == 0 && seal->index > 0) return corrupt(image->dir, "there is no log", e);
    if (!is_vote_kept(image, seal)) {
        (void)err_set(text, -EBADMSG, "its metadata says term %" PRIu64 " and vote %" PRIu64 ", the seal term %" PRIu64
                      " and vote %" PRIu64 ": a vote is lost", image->term, image->vote, seal->term, seal->vote);
    } else if (last < seal->index) {
        (void)err_set(text, -EBADMSG, "it ends at entry %" PRIu64 ", and this node acknowledged entry %" PRIu64
                      ": a write to this disk was lost", last, seal->index);
    } else if (seal->index_term != 0 && term != 0 && term != seal->index_term) {
        (void)err_set(text, -EBADMSG, "entry %" PRIu64 " is of term %" PRIu64 ", this node acknowledged one of term "
                      "%" PRIu64, seal->index, term, seal->index_term);
    }
    if (text->code == 0) return 0;
    (void)memcpy(what, text->text, sizeof what);
    return corrupt(image->dir, what, e);
}

/* A node that has just been bootstrapped, or is to join, has promised nothing. */
static bool is_virgin(const struct log_image *image)
{
    return image->problem[0] == '\0' && image->metadata_version <= 1 && image->snapshots_n == 0 &&
           log_last_index(image) <= 1;
}

static int compare_or_create(const struct log_image *image, uint64_t id, struct seal_state *seal, struct err *e)
{
    if (image->problem[0] != '\0') return corrupt(image->dir, image->problem, e);
    int rc = seal_read(image->dir, seal, e);
    if (rc == -ENOENT && is_virgin(image)) {
        *seal = (struct seal_state){id, image->metadata_version, image->term, image->vote, log_last_index(image), 0};
        return seal_create(image->dir, seal, e);
    }
    if (rc == -ENOENT) return corrupt(image->dir, "its file 'seal' is gone", e);
    if (rc == -EBADMSG) return corrupt(image->dir, "its file 'seal' is damaged", e);
    if (rc != 0) return rc;
    if (seal->id != id) return corrupt(image->dir, "its file 'seal' is of another node", e);
    rc = preflight_compare(image, seal, e);
    if (rc != 0 || seal->version == image->metadata_version) return rc;
    seal->version = image->metadata_version;
    seal->term = image->term;
    seal->vote = image->vote;
    return seal_create(image->dir, seal, e);
}

int preflight(const char *dir, uint64_t id, struct seal_state *seal, struct err *e)
{
    struct log_image *image = NULL;
    int rc = log_read(dir, &image, e);
    if (rc == -ENOENT) return corrupt(dir, "its directory raft/ is gone", e);
    if (rc != 0) return rc;
    rc = compare_or_create(image, id, seal, e);
    log_image_free(image);
    return rc;
}
