/* The stream seam of raft/: libraft gets streams from us, so that one listener serves Raft, managers and clients, and the
 * next step (mutual TLS) replaces only this file. After the preamble of lib/frame.h (protocol FRAME_RAFT) the connecting
 * side sends: u64 its id, u64 the id it wants to reach, u64 group id, u16 address length (<= 127), address. */
#ifndef REGENT_RAFT_TRANSPORT_H
#define REGENT_RAFT_TRANSPORT_H
#endif
