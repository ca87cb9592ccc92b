// Linked into what platform packages hold, so that a compiler with a newer C library makes what runs on glibc 2.31. Each symbol here stands, hidden,
// in the place of one that has a newer version, mostly because it moved into libc from a library beside it: it is a jump to the old version, which
// every later glibc still has. Nothing of the system is included: its declarations would name the new ones.
typedef unsigned long size_t;
typedef long ssize_t;

#if defined(__x86_64__)
#define FIRST "GLIBC_2.2.5"  // of the first glibc for this processor
#define DLMOPEN "GLIBC_2.3.4"
#define STAT_VERSION 1
#define OLD_AT(name, version) __asm__(HEAD(name, version) "  jmp old_" #name "@PLT\n")
#elif defined(__aarch64__)
#define FIRST "GLIBC_2.17"
#define DLMOPEN FIRST
#define STAT_VERSION 0
#define OLD_AT(name, version) __asm__(HEAD(name, version) "  b old_" #name "\n")
#else
#error packages are for x86-64 and arm64
#endif

#define HEAD(name, version)                   \
  ".symver old_" #name ", " #name "@" version \
  "\n"                                        \
  ".text\n.globl " #name "\n.hidden " #name "\n.type " #name ", %function\n" #name ":\n"
#define OLD(name) OLD_AT(name, FIRST)

// from libdl
OLD(dladdr);
OLD(dlclose);
OLD(dlerror);
OLD_AT(dlmopen, DLMOPEN);
OLD(dlopen);
OLD(dlsym);
OLD(dlvsym);
// from libpthread
OLD(pthread_condattr_setpshared);
OLD(pthread_create);
OLD(pthread_detach);
OLD(pthread_getspecific);
OLD(pthread_join);
OLD(pthread_key_create);
OLD(pthread_key_delete);
OLD(pthread_kill);
OLD(pthread_mutex_trylock);
OLD(pthread_mutexattr_destroy);
OLD(pthread_mutexattr_init);
OLD(pthread_mutexattr_setpshared);
OLD(pthread_mutexattr_settype);
OLD(pthread_once);
OLD(pthread_rwlock_destroy);
OLD(pthread_rwlock_init);
OLD(pthread_rwlock_rdlock);
OLD(pthread_rwlock_timedrdlock);
OLD(pthread_rwlock_timedwrlock);
OLD(pthread_rwlock_tryrdlock);
OLD(pthread_rwlock_trywrlock);
OLD(pthread_rwlock_unlock);
OLD(pthread_rwlock_wrlock);
OLD(pthread_rwlockattr_destroy);
OLD(pthread_rwlockattr_init);
OLD(pthread_rwlockattr_setpshared);
OLD(pthread_setspecific);
OLD(pthread_spin_destroy);
OLD(pthread_spin_init);
OLD(pthread_spin_lock);
OLD(pthread_spin_trylock);
OLD(pthread_spin_unlock);
OLD(sem_destroy);
OLD(sem_init);
OLD(sem_post);
OLD(sem_timedwait);
OLD(sem_trywait);
OLD(sem_wait);
// from librt
OLD(shm_open);
OLD(shm_unlink);

#define HIDDEN __attribute__((visibility("hidden")))

// Until 2.33 these were functions of headers, around ones that are told the shape of the structure; on both processors it has one shape.
extern int __xstat(int version, const char* path, void* status);
extern int __lxstat(int version, const char* path, void* status);
extern int __fxstat(int version, int file, void* status);
HIDDEN int stat(const char* path, void* status) {
  return __xstat(STAT_VERSION, path, status);
}
HIDDEN int lstat(const char* path, void* status) {
  return __lxstat(STAT_VERSION, path, status);
}
HIDDEN int fstat(int file, void* status) {
  return __fxstat(STAT_VERSION, file, status);
}
HIDDEN int stat64(const char* path, void* status) {
  return __xstat(STAT_VERSION, path, status);
}
HIDDEN int lstat64(const char* path, void* status) {
  return __lxstat(STAT_VERSION, path, status);
}
HIDDEN int fstat64(int file, void* status) {
  return __fxstat(STAT_VERSION, file, status);
}

// Since 2.32 the C++ library asks it whether counts need be atomic. Node always has several threads.
HIDDEN char __libc_single_threaded = 0;

// Since 2.36, for std::random_device.
extern ssize_t getrandom(void* bytes, size_t size, unsigned flags);
HIDDEN unsigned arc4random(void) {
  unsigned value;
  while (getrandom(&value, sizeof value, 0) != sizeof value) {
  }
  return value;
}
