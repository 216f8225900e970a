/* "Did you mean": the word that an operator may have meant by one that is wrong. */
#ifndef REGENT_SUGGEST_H
#define REGENT_SUGGEST_H

/* The one of 'names' that is most like 'word' (letter case aside), or NULL when none is near. */
const char *suggest(const char *word, const char *const *names, unsigned names_n);

#endif
