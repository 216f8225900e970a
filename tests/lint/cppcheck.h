/* What cppcheck would take from headers of libraries, which it does not read: loops that look like calls. */
#ifndef REGENT_LINT_CPPCHECK_H
#define REGENT_LINT_CPPCHECK_H

#define json_array_foreach(array, i, value) for (i = 0; i < json_array_size(array) && (value = get(array, i)); i++)
#define json_object_foreach(object, key, value) for (key = first(object); key && (value = of(key)); key = next(key))
#define RAFT_VERSION_NUMBER 2201

#endif
